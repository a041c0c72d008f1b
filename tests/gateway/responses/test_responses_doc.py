"""The table of docs/responses.md says what the server does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.hints import ChatHints, Hints
from enginehouse.api.schemas import ChatRequest
from enginehouse.gateway.responses.schemas import ResponseRequest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import ValidationError

_DOC = Path(__file__).parents[3] / "docs" / "responses.md"
_ROW = re.compile(r"^\| `(\w+)` \| (supported|accepted|refused) \|", re.MULTILINE)
_ROWS = dict(_ROW.findall(_DOC.read_text(encoding="utf-8")))
#: A value that OpenAI takes, for each field.
_VALUES: dict[str, Any] = {
    "background": True,
    "context_management": [{"type": "compaction"}],
    "conversation": "conv_1",
    "include": ["message.output_text.logprobs"],
    "input": "Hi",
    "instructions": "Be short",
    "max_output_tokens": 5,
    "max_tool_calls": 1,
    "metadata": {"a": "b"},
    "model": "m",
    "moderation": {"model": "x"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_1",
    "prompt": {"id": "p", "version": "1"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": False,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "temperature": 1.0,
    "text": {"format": {"type": "json_object"}},
    "tool_choice": "auto",
    "tools": [{"type": "function", "name": "f"}],
    "top_logprobs": 2,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
    "access_programs": {"cyber": "standard"},
    "background_options": {"continuation_id": "x"},
    "image": {"context_compression": "auto"},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "seed": 1,
    "stop": ["x"],
    "logit_bias": {"1": 2},
    "top_k": 1,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "min_tokens": 1,
    "ignore_eos": True,
    "guided_json": {"type": "object"},
    "guided_regex": "a",
    "guided_grammar": "root ::= [a]",
    "guided_choice": ["a"],
    "guided_json_object": True,
    "structured_outputs": {"json": {"type": "object"}},
    "stop_token_ids": [1],
    "include_stop_str_in_output": True,
    "chat_template_kwargs": {"enable_thinking": False},
    "continue_final_message": True,
}


def test_every_field_of_the_sdk_and_of_the_server_has_a_row() -> None:
    assert set(_ROWS) >= set(ResponseCreateParamsBase.__annotations__) | {"stream"}
    assert set(_ROWS) == set(ResponseRequest.model_fields) - set(Hints.model_fields)


def test_what_other_servers_have_in_chat_is_here_too() -> None:
    openai = set(CompletionCreateParamsBase.__annotations__) | {"stream"}
    here = set(ResponseRequest.model_fields)
    # A conversation is shortened by items here, and always ends where an answer begins.
    not_here = {"add_generation_prompt", "truncate_prompt_tokens", "truncation_side"}
    assert set(ChatRequest.model_fields) - openai - set(ChatHints.model_fields) - here == not_here


def test_the_newest_sdk_has_no_field_that_is_not_known() -> None:
    """Of openai 3.57, whose types are not those of the installed one."""
    newer = {"access_programs", "background_options", "image"}
    assert newer <= set(_ROWS)


@pytest.mark.parametrize("field", sorted(_VALUES))
def test_a_field_is_taken_or_refused_as_its_row_says(field: str) -> None:
    also = {"stream": True} if field == "stream_options" else {}
    given = {"model": "m", "input": "Hi", **also, field: _VALUES[field]}
    if _ROWS[field] != "refused":
        ResponseRequest.model_validate(given)
        return
    with pytest.raises(ValidationError) as failed:
        ResponseRequest.model_validate(given)
    (error,) = failed.value.errors()
    assert error["loc"][0] == field
    assert error["type"] == "unsupported_parameter"
