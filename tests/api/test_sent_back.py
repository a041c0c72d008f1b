"""What a client got from an answer, it may send: every shape of answer goes back as input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.boundary import RequestModel, ReturnedModel
from enginehouse.api.messages import Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ValidationError

from tests.api.speaking import Adapter, speaking
from tests.api.test_chat_fields import THINKING, TOOLS

_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
_ASK = {"role": "user", "content": "And now?"}
_RESULT = {"role": "tool", "tool_call_id": "", "content": "sunny"}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _asked_again(adapter: Adapter, message: dict[str, Any], **rest: Any) -> str:
    """The prompt of a conversation that holds an answer's message."""
    calls = message.get("tool_calls") or []
    results = [_RESULT | {"tool_call_id": call["id"]} for call in calls]
    adapter.chat("Yes.", messages=[_ASK, message, *results, _ASK], **rest)
    return adapter.prompt()


def _whole(adapter: Adapter, said: str, **body: Any) -> dict[str, Any]:
    """The message of an answer as the SDK dumps it, nulls included."""
    answer = ChatCompletion.model_validate(adapter.chat(said, **body))
    dumped: dict[str, Any] = answer.choices[0].message.model_dump()
    assert None in dumped.values()
    return dumped


def _gathered(adapter: Adapter, said: str, **body: Any) -> dict[str, Any]:
    """The message that a client gathers from deltas, with their index left in the calls."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    for event in adapter.chat(said, stream=True, **body):
        delta = ChatCompletionChunk.model_validate(event).choices[0].delta.model_dump()
        for call in delta.pop("tool_calls") or ():
            if call["id"] is not None:
                message["tool_calls"].append(call)
            else:
                known = message["tool_calls"][call["index"]]["function"]
                known["arguments"] += call["function"]["arguments"]
        delta.pop("role")
        for name, value in delta.items():
            if value is not None:
                value = (message.get(name) or "") + value  # noqa: PLW2901 - as clients do
            message[name] = value if value is not None else message.get(name)
    return message


@pytest.mark.parametrize("answer", [_whole, _gathered])
def test_every_shape_of_answer_goes_back(adapter: Adapter, answer: Any) -> None:
    plain = answer(adapter, "Sunny.")
    assert "assistant\nSunny.<|im_end|>" in _asked_again(adapter, plain)
    called = answer(adapter, _CALL, tools=TOOLS)
    assert called["tool_calls"]
    assert '"city": "Rome"' in _asked_again(adapter, called, tools=TOOLS)
    both = answer(adapter, f"Let me see. {_CALL}", tools=TOOLS)
    assert "Let me see." in _asked_again(adapter, both, tools=TOOLS)
    guided = answer(adapter, "{}", response_format={"type": "json_object"})
    assert "assistant\n{}<|im_end|>" in _asked_again(adapter, guided)
    scored = answer(adapter, "Sunny.", logprobs=True)
    assert "Sunny." in _asked_again(adapter, scored)


@pytest.mark.parametrize("answer", [_whole, _gathered])
def test_an_answer_with_reasoning_goes_back(tmp_path: Path, answer: Any) -> None:
    with speaking(tmp_path, THINKING) as adapter:
        message = answer(adapter, "<think>Hm.</think>Yes.")
        assert message["reasoning_content"] == "Hm."
        prompt = _asked_again(adapter, message)
        assert "assistant: Yes." in prompt
        assert "Hm." not in prompt


def test_a_completion_goes_back_as_the_end_of_its_prompt(adapter: Adapter) -> None:
    first = adapter.complete(" upon a time", prompt="Once")["choices"][0]["text"]
    again = adapter.complete(" there", prompt="Once" + first)
    assert again["choices"][0]["text"] == " there"


@pytest.mark.parametrize(
    "extra",
    [
        {"annotations": None, "audio": None, "function_call": None, "tool_calls": None,
         "refusal": None, "name": None, "tool_call_id": None},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]},
        {"tool_calls": []},
        {"reasoning": "Hm.", "reasoning_content": "Hm."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        {"provider_specific_fields": {"refusal": None}, "images": []},
        {"cache_control": {"type": "ephemeral"}, "id": "msg_1", "status": "completed"},
        {"content": [{"type": "text", "text": "Yes.", "annotations": [],
                      "cache_control": {"type": "ephemeral"}}]},
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"},
                     {"type": "redacted_thinking", "data": "x"},
                     {"type": "reasoning", "text": None, "summary": []},
                     {"type": "output_text", "text": "Yes.", "logprobs": []}]},
        {"content": [{"type": "refusal", "refusal": "Yes."}]},
        {"content": None, "refusal": "Yes."},
        {"content": None, "audio": {"id": "a", "data": "", "expires_at": 1,
                                    "transcript": "Yes."}},
    ],
)  # fmt: skip
def test_what_stands_with_an_answers_text_is_taken(adapter: Adapter, extra: Any) -> None:
    prompt = _asked_again(adapter, {"role": "assistant", "content": "Yes."} | extra)
    assert "assistant\nYes.<|im_end|>" in prompt
    assert "Hm." not in prompt


def test_the_older_form_of_a_call_and_its_result_is_read(adapter: Adapter) -> None:
    called = {"name": "get_weather", "arguments": '{"city": "Rome"}'}
    history = [_ASK, {"role": "assistant", "content": None, "function_call": called},
               {"role": "function", "name": "get_weather", "content": "sunny"}]  # fmt: skip
    adapter.chat("Yes.", messages=history, tools=TOOLS)
    older = adapter.prompt()
    call = {"id": "c", "type": "function", "function": called}
    adapter.chat("Yes.", tools=TOOLS, messages=[
        _ASK, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"}])  # fmt: skip
    assert older == adapter.prompt()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)
_CALLED = {"id": "c", "function": {"name": "f", "arguments": "{}"}}


@given(st.dictionaries(st.text(), _JSON), st.sampled_from(["message", "part", "call", "function"]))
def test_any_other_field_of_a_message_is_taken(extra: dict[str, Any], where: str) -> None:
    def around(model: type[BaseModel], name: str, value: dict[str, Any]) -> dict[str, Any]:
        known = model.model_fields.keys()
        unknown = {key: item for key, item in extra.items() if key not in known}
        return value | unknown if where == name else value

    part = around(_of("ContentPart"), "part", {"type": "text", "text": "Hi"})
    function = around(_of("CalledFunction"), "function", dict(_CALLED["function"]))
    call = around(_of("ToolCall"), "call", {"id": "c", "function": function})
    message = {"role": "assistant", "content": [part], "tool_calls": [call]}
    found = Message.model_validate(around(Message, "message", message))
    assert found.text == "Hi"
    assert found.for_template()["tool_calls"][0]["function"] == _CALLED["function"]


def _of(name: str) -> type[BaseModel]:
    return next(kind for kind in _below(ReturnedModel) if kind.__name__ == name)


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _below(kind)


def test_null_is_left_out_of_every_model_of_a_request(adapter: Adapter) -> None:
    assert adapter.http
    kinds = [*_below(RequestModel), *_below(ReturnedModel)]
    assert len(kinds) > 30
    for kind in kinds:
        wrong = _wrong(kind, dict.fromkeys([*kind.model_fields, "nobody_knows_it"]))
        # What may not be left out is missing, and nothing has a wrong type.
        assert wrong <= {"missing", "value_error"}, kind
        assert not wrong or kind.model_json_schema().get("required") or wrong == {"value_error"}


def _wrong(kind: type[BaseModel], value: Any) -> set[str]:
    """What is wrong with a value, by pydantic's names."""
    try:
        kind.model_validate(value)
    except ValidationError as error:
        return {one["type"] for one in error.errors()}
    return set()
