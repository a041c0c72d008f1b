"""The table in docs/openai-fields.md against the SDK's types and what the server takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.schemas import ChatRequest, CompletionRequest
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_create_params
from pydantic import BaseModel, ValidationError

_DOC = Path(__file__).parents[2] / "docs" / "openai-fields.md"
_ROW = re.compile(r"\| `(?P<field>\w+)` \| (?P<status>\w+) \| (?P<since>[\d.]+) \|")
_TOOL = {"type": "function", "function": {"name": "f"}}
_CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
_COMPLETION = {"model": "m", "prompt": "Hi"}

#: A value for each field that is taken, and one that OpenAI takes for each that is refused.
_VALUES: dict[str, Any] = {
    "messages": _CHAT["messages"], "model": "m", "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5, "function_call": "auto", "functions": [{"name": "f"}],
    "logit_bias": {"1": 5}, "logprobs": True, "max_completion_tokens": 5, "max_tokens": 5,
    "metadata": {"a": "b"}, "modalities": ["text"], "moderation": {"model": "m"}, "n": 2,
    "parallel_tool_calls": False, "prediction": {"type": "content", "content": "x"},
    "presence_penalty": 0.5, "prompt_cache_key": "k", "prompt_cache_options": {"ttl": "30m"},
    "prompt_cache_retention": "in_memory", "reasoning_effort": "low",
    "response_format": {"type": "json_object"}, "safety_identifier": "s", "seed": 1,
    "service_tier": "flex", "stop": ["x"], "store": True, "stream": True, "temperature": 0.5,
    "stream_options": {"include_usage": True, "include_obfuscation": True},
    "tool_choice": "auto", "tools": [_TOOL], "top_logprobs": 0, "top_p": 0.5, "user": "u",
    "verbosity": "medium", "web_search_options": {}, "prompt": ["a", "b"], "best_of": 2,
    "echo": True, "suffix": "x",
}  # fmt: skip
_INTEGER = {"logprobs": 0}


def _rows(section: str) -> dict[str, str]:
    """Field → status."""
    text = _DOC.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = [match for line in text.splitlines() if (match := _ROW.match(line))]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", match["since"]) for match in found)
    assert len({match["field"] for match in found}) == len(found)
    return {match["field"]: match["status"] for match in found}


def _of_openai(module: Any) -> set[str]:
    params = (module.CompletionCreateParamsNonStreaming, module.CompletionCreateParamsStreaming)
    return {name for each in params for name in (each.__required_keys__ | each.__optional_keys__)}


_ENDPOINTS = [
    ("Chat completions", chat_create_params, ChatRequest, _CHAT, {}),
    ("Completions", completion_create_params, CompletionRequest, _COMPLETION, _INTEGER),
]


@pytest.mark.parametrize(("section", "module", "model", "minimal", "own"), _ENDPOINTS)
def test_the_table_has_every_field_of_openai_and_no_other(
    section: str, module: Any, model: type[BaseModel], minimal: Any, own: Any
) -> None:
    assert set(_rows(section)) == _of_openai(module)


@pytest.mark.parametrize(("section", "module", "model", "minimal", "own"), _ENDPOINTS)
def test_fields_are_taken_or_refused_as_the_table_says(
    section: str, module: Any, model: type[BaseModel], minimal: Any, own: dict[str, Any]
) -> None:
    for field, status in _rows(section).items():
        body = minimal | {field: own.get(field, _VALUES[field])}
        body |= {"stream": True} if field == "stream_options" else {}
        if status == "refused":
            with pytest.raises(ValidationError) as refusal:
                model.model_validate(body)
            (error,) = refusal.value.errors()
            assert error["loc"] == (field,)
            assert error["type"] == "unsupported_parameter", field
            model.model_validate(minimal | {field: None})
        else:
            assert status in {"supported", "accepted"}
            assert field in model.model_validate(body).model_fields_set


@pytest.mark.parametrize(("section", "module", "model", "minimal", "own"), _ENDPOINTS)
def test_fields_of_our_own_are_in_the_table_too(
    section: str, module: Any, model: type[BaseModel], minimal: Any, own: Any
) -> None:
    text = _DOC.read_text(encoding="utf-8").split("\n## Fields that are not OpenAI's\n")[1]
    table = "".join(line for line in text.split("\n## ")[0].splitlines() if line[:1] == "|")
    ours = set(model.model_fields) - _of_openai(module)
    assert ours
    assert all(f"`{field}`" in table for field in ours)


def test_unknown_fields_are_refused_by_name() -> None:
    for model, minimal in ((ChatRequest, _CHAT), (CompletionRequest, _COMPLETION)):
        with pytest.raises(ValidationError) as refusal:
            model.model_validate(minimal | {"nonsense": 1})
        assert refusal.value.errors()[0]["loc"] == ("nonsense",)
        # Null says nothing, whatever the name.
        model.model_validate(minimal | {"nonsense": None})


def test_identity_holds_what_changes_the_answer_and_nothing_else() -> None:
    plain = ChatRequest.model_validate(_CHAT).identity
    who = {"user": "u", "stream": True, "metadata": {"a": "b"}, "store": True,
           "service_tier": "flex", "safety_identifier": "s", "prompt_cache_key": "k"}  # fmt: skip
    assert ChatRequest.model_validate(_CHAT | who).identity == plain
    for change in ({"tools": [_TOOL]}, {"seed": 1}, {"stop": "x"}, {"logprobs": True}):
        assert ChatRequest.model_validate(_CHAT | change).identity != plain


@pytest.mark.parametrize(
    ("change", "deterministic"),
    [
        ({}, False),
        ({"temperature": 0}, True),
        ({"top_p": 0}, True),
        ({"seed": 3}, True),
        ({"temperature": 1}, False),
        ({"temperature": 0, "n": 2}, False),
    ],
)
def test_a_question_has_one_answer_if_nothing_is_drawn_or_the_seed_is_given(
    change: dict[str, Any], *, deterministic: bool
) -> None:
    for model, minimal in ((ChatRequest, _CHAT), (CompletionRequest, _COMPLETION)):
        assert model.model_validate(minimal | change).deterministic is deterministic
    best = CompletionRequest.model_validate(_COMPLETION | change | {"best_of": 3})
    assert not best.deterministic
