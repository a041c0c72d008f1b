"""Fields of other servers of this API: vLLM's names, assistant prefill, hints, usage so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.hints import ChatHints, Hints
from enginehouse.api.schemas import ChatRequest, CompletionRequest
from enginehouse.engine.guides import GuideCompiler
from pydantic import ValidationError

from enginehouse.generation import Guide, GuideKind
from tests.api.speaking import Adapter, speaking
from tests.api.test_chat_fields import TOOLS
from tests.default_model import default_model

_USER = {"role": "user", "content": "Hi"}
_PREFILL = {"role": "assistant", "content": "Once upon "}
#: Like Qwen 3's: reads a variable, and treats an earlier answer's text.
_READING = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content.split('</think>')[-1] | trim }}<|im_end|>
{% endfor %}{% if tone is defined %}({{ tone }}){% endif %}
{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking is defined and thinking %}<think>{% endif %}{% endif %}"""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("reading"), _READING) as running:
        yield running


_SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", None]}}}
_CHOICE = 'root ::= "yes" | "n\\"o\\n😀"'


@pytest.mark.parametrize(
    ("body", "guide"),
    [
        ({"structured_outputs": {"json": _SCHEMA}}, Guide(GuideKind.JSON_SCHEMA,
                                                          json.dumps(_SCHEMA))),
        ({"structured_outputs": {"json": '{"type": "object"}', "regex": None,
                                 "disable_any_whitespace": True}},
         Guide(GuideKind.JSON_SCHEMA, '{"type": "object"}')),
        ({"structured_outputs": {"regex": "a+"}}, Guide(GuideKind.REGEX, "a+")),
        ({"structured_outputs": {"regex": "a+"}, "guided_regex": "a+"},
         Guide(GuideKind.REGEX, "a+")),
        ({"structured_outputs": {"grammar": "root ::= 'a'"}},
         Guide(GuideKind.EBNF_GRAMMAR, "root ::= 'a'")),
        ({"structured_outputs": {"choice": ["yes", 'n"o\n😀', "yes"]}},
         Guide(GuideKind.EBNF_GRAMMAR, _CHOICE)),
        ({"structured_outputs": {"json_object": True}}, Guide(GuideKind.JSON, "")),
        ({"guided_choice": ["yes", 'n"o\n😀']}, Guide(GuideKind.EBNF_GRAMMAR, _CHOICE)),
        ({"guided_json_object": True}, Guide(GuideKind.JSON, "")),
    ],
)  # fmt: skip
def test_constraints_have_both_names_of_vllm(
    adapter: Adapter, body: dict[str, Any], guide: Guide
) -> None:
    adapter.chat("{}", **body)
    assert adapter.guide() == guide
    adapter.complete("{}", prompt="x", **body)
    assert adapter.guide() == guide


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a", "grammar": "b"}}, "structured_outputs"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"nonsense": 1, "regex": "a"}}, "structured_outputs.nonsense"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"regex": "a"}, "tools": TOOLS}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a"}, "guided_regex": "b"}, "guided_regex"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": [10**6]}, "stop_token_ids"),
        ({"continue_final_message": True}, "messages"),
        ({"continue_final_message": True, "add_generation_prompt": True,
          "messages": [_USER, _PREFILL]}, "add_generation_prompt"),
        ({"messages": [_PREFILL | {"content": "", "prefix": True}]}, "messages"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_by_name(
    adapter: Adapter, body: dict[str, Any], param: str
) -> None:
    error = adapter.chat(status=400, **body)["error"]
    assert error["param"] == param
    assert error["message"]


@pytest.mark.parametrize(
    "ask",
    [
        {"continue_final_message": True},
        {"continue_final_message": True, "add_generation_prompt": False},
        {"messages": [_USER, _PREFILL | {"prefix": True}]},
        {"messages": [_USER, _PREFILL | {"partial": True}]},
    ],
)
def test_an_answer_goes_on_where_the_last_message_ends(
    adapter: Adapter, reading: Adapter, ask: dict[str, Any]
) -> None:
    whole = {"messages": [_USER, _PREFILL]} | ask
    for one in (adapter, reading):
        answer = one.chat("a time.", **whole)
        assert one.prompt().endswith("<|im_start|>assistant\nOnce upon ")
        assert answer["choices"][0]["message"]["content"] == "a time."
        tokens = one.http.post("/tokenize", json={"model": "smollm2", "prompt": None} | whole)
        assert tokens.json()["tokens"] == list(one.replica.asked[-1][1].input_ids)
    adapter.chat("a time.", tools=TOOLS, **whole)
    assert adapter.prompt().endswith("Once upon ")


def test_what_goes_on_is_not_the_same_question(adapter: Adapter) -> None:
    plain = ChatRequest.model_validate({"model": "m", "messages": [_USER, _PREFILL]})
    for ask in ({"continue_final_message": True}, {"add_generation_prompt": False}):
        other = ChatRequest.model_validate({"model": "m", "messages": [_USER, _PREFILL]} | ask)
        assert other.identity != plain.identity
    marked = {"model": "m", "messages": [_USER, _PREFILL | {"prefix": True}]}
    assert ChatRequest.model_validate(marked).identity != plain.identity
    assert adapter.http


def test_control_tokens_of_a_prefill_and_of_variables_stay_text(reading: Adapter) -> None:
    said = _PREFILL | {"content": "<|im_end|>"}
    reading.chat(
        "x", messages=[_USER, said], continue_final_message=True,
        chat_template_kwargs={"tone": "<|im_start|>"},
    )  # fmt: skip
    ends = [token_id for token_id in reading.replica.asked[-1][1].input_ids if token_id in {1, 2}]
    assert ends == [1, 2, 1]


def test_the_prompt_may_end_behind_the_last_message(adapter: Adapter) -> None:
    adapter.chat("x", messages=[_USER], add_generation_prompt=False)
    assert adapter.prompt().endswith("user\nHi<|im_end|>\n")


def test_the_template_reads_the_callers_variables(reading: Adapter) -> None:
    reading.chat("x", chat_template_kwargs={"tone": "calm", "unread": [1, None]})
    assert "(calm)" in reading.prompt()
    answer = reading.chat("Hm.</think>Yes.", chat_template_kwargs={"thinking": True, "tone": None})
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Yes.")
    for name in ("range", "self", "namespace", "loop"):
        answer = reading.chat("x", chat_template_kwargs={name: "x"})
        assert answer["choices"]
    error = reading.chat(status=400, chat_template_kwargs={"strftime_now": 1})["error"]
    assert error["param"] == "chat_template_kwargs"


def test_token_ids_end_an_answer_in_the_engine(adapter: Adapter) -> None:
    adapter.chat("x", stop_token_ids=[5, 7])
    assert adapter.replica.asked[-1][1].stop_sequences == ((5,), (7,))
    adapter.complete("x", prompt="x", stop_token_ids=[5], top_k=-1)
    request = adapter.replica.asked[-1][1]
    assert request.stop_sequences == ((5,),)
    assert request.sampling.top_k is None
    assert request.ends_at(5)


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_is_shown_if_the_caller_wants_it(adapter: Adapter, *, stream: bool) -> None:
    asked = {"prompt": "x", "stop": ["END"], "stream": stream}
    for shown, text in ((True, "so it END"), (False, "so it "), (None, "so it ")):
        answer = adapter.complete("so it END here", include_stop_str_in_output=shown, **asked)
        chunks = answer if stream else [answer]
        assert "".join(c["choices"][0]["text"] for c in chunks if c["choices"]) == text


def test_a_prompt_may_be_cut(adapter: Adapter) -> None:
    text = " ".join(f"w{number}" for number in range(3000))
    ids = adapter.revision.tokenizer.encode(text)

    def sent(**body: Any) -> list[int]:
        adapter.complete("x", prompt=text, max_tokens=5, **body)
        return list(adapter.replica.asked[-1][1].input_ids)

    assert sent(truncate_prompt_tokens=7) == ids[-7:]
    assert sent(truncate_prompt_tokens=7, truncation_side="right") == ids[:7]
    assert sent(truncate_prompt_tokens=-1) == ids[-2043:]
    adapter.chat("x", messages=[{"role": "user", "content": text}], truncate_prompt_tokens=-1)
    assert len(adapter.replica.asked[-1][1].input_ids) == 2047
    assert adapter.prompt().endswith("assistant\n")


def test_every_chunk_has_the_usage_so_far(adapter: Adapter) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    for chunks in (
        adapter.chat("one two three", stream=True, stream_options=options),
        adapter.complete("one two three", prompt="x", stream=True, stream_options=options),
    ):
        counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
        assert counts == sorted(counts)
        assert counts[0] < counts[-1]
        assert chunks[-1]["choices"] == []
        assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {
            chunks[-1]["usage"]["prompt_tokens"]
        }
    alone = {"continuous_usage_stats": True, "include_usage": None}
    chunks = adapter.chat("one", stream=True, stream_options=alone)
    assert all(chunk["choices"] and chunk["usage"] for chunk in chunks)
    off = {"continuous_usage_stats": False, "include_usage": True}
    chunks = adapter.chat("one", stream=True, stream_options=off)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


#: vLLM's defaults of a request, as its clients dump them.
_DEFAULTS: dict[str, Any] = {
    "use_beam_search": False, "length_penalty": 1.0, "early_stopping": False,
    "skip_special_tokens": True, "spaces_between_special_tokens": True, "detokenize": True,
    "return_token_ids": False, "return_tokens_as_token_ids": False, "bad_words": [],
    "priority": 0, "request_id": "r", "session_id": "s", "stream_interval": 1, "vllm_xargs": {},
    "thinking_token_budget": -1, "guided_decoding_backend": "xgrammar", "mm_processor_kwargs": {},
    "media_io_kwargs": {}, "allowed_token_ids": [], "logprob_token_ids": [],
    "logits_processors": [],
}  # fmt: skip
_CHAT_DEFAULTS: dict[str, Any] = {
    "include_reasoning": True, "echo": False, "add_special_tokens": False, "best_of": 1,
    "documents": [], "functions": [], "function_call": "none", "tool_choice": "none",
    "parallel_tool_calls": True, "prediction": {"type": "content", "content": "x"},
    "prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "24h", "verbosity": "low",
}  # fmt: skip
_OTHERS: dict[str, Any] = {
    "use_beam_search": True, "length_penalty": 2, "early_stopping": True,
    "skip_special_tokens": False, "detokenize": False, "return_token_ids": True,
    "return_tokens_as_token_ids": True, "prompt_logprobs": 1, "logprob_token_ids": [1],
    "allowed_token_ids": [1], "bad_words": ["x"], "logits_processors": ["x"], "priority": 1,
    "thinking_token_budget": 5, "repetition_detection": {}, "cache_salt": "x",
    "kv_transfer_params": {}, "ec_transfer_params": {}, "vllm_xargs": {"a": 1},
    "guided_whitespace_pattern": "x",
}  # fmt: skip
_CHAT_OTHERS: dict[str, Any] = {
    "include_reasoning": False,
    "echo": True,
    "add_special_tokens": True,
    "best_of": 2,
    "documents": [{"text": "x"}],
    "chat_template": "x",
}


def test_hints_are_taken_and_say_nothing(adapter: Adapter) -> None:
    plain = ChatRequest.model_validate({"model": "m", "messages": [_USER]})
    body = {"model": "m", "messages": [_USER]} | _DEFAULTS | _CHAT_DEFAULTS
    hinted = ChatRequest.model_validate(body)
    ours = {"functions", "function_call", "tool_choice", "parallel_tool_calls"}
    assert {name for name in hinted.identity if name not in ours} == set(plain.identity)
    adapter.chat("x", **_DEFAULTS, **_CHAT_DEFAULTS)
    adapter.complete("x", prompt="x", **_DEFAULTS)
    nulls = dict.fromkeys(ChatHints.model_fields)
    assert ChatRequest.model_validate({"model": "m", "messages": [_USER]} | nulls) == plain


def test_other_values_of_hints_are_refused_by_name() -> None:
    some = {"spaces_between_special_tokens", *_DEFAULTS} - _OTHERS.keys()
    assert Hints.model_fields.keys() == _OTHERS.keys() | some
    assert ChatHints.model_fields.keys() == Hints.model_fields.keys() | _CHAT_OTHERS.keys()
    chat = [("m", name, value) for name, value in (_OTHERS | _CHAT_OTHERS).items()]
    for _, name, value in chat:
        for model, minimal in (
            (ChatRequest, {"model": "m", "messages": [_USER]}),
            (CompletionRequest, {"model": "m", "prompt": "x"}),
        ):
            if model is CompletionRequest and name in _CHAT_OTHERS:
                continue
            with pytest.raises(ValidationError) as refusal:
                model.model_validate(minimal | {name: value})
            (error,) = refusal.value.errors()
            assert (error["loc"], error["type"]) == ((name,), "unsupported_parameter")


def test_a_choice_compiles(tmp_path: Path) -> None:
    """With the engine's own compiler."""
    path = tmp_path / "tokenizer.json"
    path.write_text(default_model().tokenizer_json, "utf-8")
    compiler = GuideCompiler(path, [2])
    try:
        compiler.compile(Guide(GuideKind.EBNF_GRAMMAR, _CHOICE))
    finally:
        compiler.close()
