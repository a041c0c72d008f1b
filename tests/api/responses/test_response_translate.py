"""Requests of the Responses API in the words of the chat API."""

from __future__ import annotations

from typing import Any

import openai.types.responses as sdk
import pytest
from enginehouse.api.field_path import field_path
from enginehouse.api.responses.schemas import ResponseRequest
from enginehouse.api.responses.translate import chat_body, messages_of, stored_items
from enginehouse.api.schemas import ChatRequest
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_item import ResponseItem
from pydantic import TypeAdapter, ValidationError

from enginehouse.errors import InvalidRequestError

_TOOL = {
    "type": "function",
    "name": "weather",
    "description": "How it is outside",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}


def _request(**fields: Any) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "m", "input": "Hi", **fields})


def _chat(**fields: Any) -> dict[str, Any]:
    request = _request(**fields)
    body = chat_body(request, stored_items(request.input))
    # Whatever comes out of here is a chat request.
    ChatRequest.model_validate(body)
    return body


def _problem(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as failed:
        _request(**fields)
    first = failed.value.errors()[0]
    return field_path(first["loc"]), first["msg"]


def test_a_string_is_what_a_user_says() -> None:
    assert _chat()["messages"] == [{"role": "user", "content": "Hi"}]


def test_instructions_come_first_and_parts_are_joined() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    body = _chat(instructions="Be short", input=[{"role": "user", "content": parts}])
    assert body["messages"] == [
        {"role": "system", "content": "Be short"},
        {"role": "user", "content": "ab"},
    ]


def test_words_calls_and_outputs_of_a_turn_become_messages() -> None:
    body = _chat(
        input=[
            {"role": "user", "content": "Weather in Rome and Oslo?"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "snow"}],
            },
        ]
    )
    said, first, second = body["messages"][1:]
    assert said["content"] == "I look."
    assert [call["id"] for call in said["tool_calls"]] == ["c1", "c2"]
    assert first == {"role": "tool", "tool_call_id": "c1", "content": "sun"}
    assert second == {"role": "tool", "tool_call_id": "c2", "content": "snow"}


def test_a_call_without_words_has_no_content() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    (message,) = messages_of(None, [call])
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_an_output_without_its_call_is_refused_by_its_id() -> None:
    output = {"type": "function_call_output", "call_id": "c9", "output": "x"}
    with pytest.raises(InvalidRequestError, match="c9") as failed:
        messages_of(None, [output])
    assert failed.value.field == "input"


def test_tools_and_choices_are_those_of_the_chat_api() -> None:
    function = {key: value for key, value in _TOOL.items() if key != "type"}
    body = _chat(tools=[_TOOL], tool_choice={"type": "function", "name": "weather"})
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert "tool_choice" not in _chat()


def test_allowed_tools_are_all_that_the_model_is_told_of() -> None:
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "weather"}],
    }
    body = _chat(tools=[_TOOL, {"type": "function", "name": "other"}], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == "required"


def test_formats_and_limits_have_their_chat_names() -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    body = _chat(
        text={"format": form},
        max_output_tokens=7,
        include=["message.output_text.logprobs"],
        reasoning={"effort": "low"},
        temperature=0.0,
    )
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
    }
    assert body["max_completion_tokens"] == 7
    assert body["logprobs"] is True
    assert body["reasoning_effort"] == "low"
    assert body["temperature"] == 0.0
    assert _chat(text={"format": {"type": "json_object"}})["response_format"] == {
        "type": "json_object"
    }


def test_every_field_of_the_sdk_is_known_by_name() -> None:
    known = set(ResponseRequest.model_fields)
    assert set(ResponseCreateParamsBase.__annotations__) <= known


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("background", True),
        ("context_management", [{"type": "compaction"}]),
        ("conversation", "conv_1"),
        ("max_tool_calls", 3),
        ("moderation", {"model": "x"}),
        ("prompt_cache_options", {"mode": "explicit"}),
        ("prompt_cache_retention", "24h"),
        ("top_logprobs", 5),
        ("truncation", "auto"),
        ("include[0]", None),
        ("text.verbosity", "high"),
        ("reasoning.summary", "auto"),
    ],
)
def test_what_is_not_there_is_refused_by_name(field: str, value: Any) -> None:
    if field == "include[0]":
        fields: dict[str, Any] = {"include": ["reasoning.encrypted_content"]}
    else:
        outer, _, inner = field.partition(".")
        fields = {outer: {inner: value} if inner else value}
    assert _problem(**fields)[0] == field


def test_unknown_items_parts_and_tools_are_refused_at_their_place() -> None:
    assert _problem(input=[{"type": "computer_call"}])[0] == "input[0]"
    image = {"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}
    where, why = _problem(input=[{"role": "user", "content": "a"}, image])
    assert where == "input[1].content[0]"
    assert "text alone" in why
    assert _problem(tools=[{"type": "web_search"}])[0] == "tools[0].type"
    assert _problem(tool_choice={"type": "web_search"})[0] == "tool_choice"
    assert _problem(input=7)[0] == "input"
    assert _problem(input=[])[0] == "input"


def test_a_choice_of_a_tool_that_is_not_there_is_refused() -> None:
    assert (
        "'other'" in _problem(tools=[_TOOL], tool_choice={"type": "function", "name": "other"})[1]
    )
    assert "no tools" in _problem(tool_choice="required")[1]
    assert "stream: true" in _problem(stream_options={"include_obfuscation": False})[1]


def test_stored_items_are_items_of_the_sdk() -> None:
    request = _request(
        input=[
            {"role": "user", "content": "a"},
            {"role": "developer", "content": [{"type": "input_text", "text": "b"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "c"},
                    {"type": "refusal", "refusal": "d"},
                ],
            },
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "e", "id": "mine"},
            {"type": "reasoning", "summary": [], "content": []},
        ]
    )
    items = stored_items(request.input)
    for item in items:
        TypeAdapter(ResponseItem).validate_python(item)
    assert len({item["id"] for item in items}) == 6
    assert items[4]["id"] == "mine"
    sdk.ResponseOutputMessage.model_validate(items[2])
