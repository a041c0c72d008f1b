"""Requests of the Responses API in the words of the chat API."""

from __future__ import annotations

from typing import Any, get_args

import openai.types.responses as sdk
import pytest
from enginehouse.api.schemas import ChatRequest
from enginehouse.gateway.responses.names import own_names
from enginehouse.gateway.responses.schemas import ResponseRequest
from enginehouse.gateway.responses.stored import references, stored_items
from enginehouse.gateway.responses.translate import chat_body, told, told_by
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseIncludable
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.response_item import ResponseItem
from pydantic import TypeAdapter, ValidationError

from enginehouse.errors import InvalidRequestError
from enginehouse.requests import problem_of

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
    body = chat_body(request, told_by(request, stored_items(request.input)).messages)
    # Whatever comes out of here is a chat request.
    ChatRequest.model_validate(body)
    return body


def _problem(**fields: Any) -> tuple[str, str]:
    with pytest.raises(ValidationError) as failed:
        _request(**fields)
    problem = problem_of(failed.value.errors(), {"model": "m", "input": "Hi"} | fields)
    return problem.param or "", problem.message


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
    (message,) = told(None, [call], 1).messages
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_an_output_without_its_call_is_refused_by_its_id() -> None:
    output = {"type": "function_call_output", "call_id": "c9", "output": "x"}
    with pytest.raises(InvalidRequestError, match="c9") as failed:
        told(None, [{"type": "reasoning"}, {"type": "reasoning"}, output], 2)
    assert failed.value.field == "input[1].call_id"


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
        ("background_options.completion_window", "2h"),
        ("context_management", [{"type": "compaction"}]),
        ("conversation", "conv_1"),
        ("moderation", {"model": "x"}),
        ("access_programs", {"cyber": "standard"}),
        ("prompt_cache_options.prewarm", True),
        ("top_logprobs", 5),
        ("truncation", "middle"),
        ("include[0]", ["reasoning.plain_content"]),
        ("text.verbosity", "huge"),
        ("text.tone", "dry"),
        ("reasoning.mode", "pro"),
        ("reasoning.context", "all_turns"),
        ("nonsense", 1),
    ],
)
def test_what_is_not_there_is_refused_by_name(field: str, value: Any) -> None:
    outer, _, inner = field.removesuffix("[0]").partition(".")
    assert _problem(**{outer: {inner: value} if inner else value})[0] == field


@pytest.mark.parametrize(
    "hint",
    [
        {"include": [name]} for name in get_args(ResponseIncludable)
    ]
    + [
        {"text": {"verbosity": "low"}},
        {"reasoning": {"summary": "auto", "generate_summary": "concise", "context": "auto"}},
        {"max_tool_calls": 3},
        {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
        {"prompt_cache_retention": "24h"},
        {"image": {"context_compression": "auto"}},
        {"safety_identifier": "s" * 128},
        {"service_tier": "ultrafast"},
        {"nonsense": None, "text": None, "tools": [{**_TOOL, "defer_loading": True}]},
    ],
)  # fmt: skip
def test_a_hint_that_changes_nothing_is_taken(hint: dict[str, Any]) -> None:
    scored = hint.get("include") == ["message.output_text.logprobs"]
    rest = {name: value for name, value in _chat(**hint).items() if name in _chat()}
    assert rest == _chat()
    assert ("logprobs" in _chat(**hint)) is scored


def test_sampling_is_asked_for_as_in_the_chat_api() -> None:
    asked = {
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "seed": 7,
        "stop": ["x"],
        "min_tokens": 2,
        "ignore_eos": True,
        "guided_regex": "a+",
    }
    assert _chat(**asked).items() >= asked.items()


#: Items as an SDK, a framework or another server gives them back.
_RETURNED: list[dict[str, Any]] = [
    {"role": "user", "content": "a", "type": None},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "phase": "final_answer",
        "content": [
            {
                "type": "output_text",
                "text": "b",
                "annotations": [{"type": "url_citation", "url": "x"}],
                "logprobs": None,
                "parsed": {"x": 1},
            }
        ],
        "provider_data": {"model": "m"},
    },
    {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "s"}],
        "content": None,
        "encrypted_content": "gAAAA",
        "status": None,
        "format": "x",
    },
    {
        "id": "",
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
        "status": "completed",
        "parsed_arguments": {},
        "caller": {"type": "direct"},
        "namespace": None,
        "created_by": "x",
    },
    {
        "type": "function_call_output",
        "call_id": "c",
        "output": [{"type": "input_text", "text": "d", "prompt_cache_breakpoint": {}}],
        "id": None,
        "name": "f",
        "status": None,
    },
]


def test_what_was_got_back_is_taken_with_whatever_else_it_carries() -> None:
    body = _chat(input=_RETURNED)
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool"]
    assert [item["type"] for item in stored_items(_request(input=_RETURNED).input)] == [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]


@given(
    item=st.sampled_from(_RETURNED),
    more=st.dictionaries(
        st.sampled_from(["extra_a", "extra_b", "extra_c"]),
        st.sampled_from([None, 1, "x", [], {"a": 1}]),
    ),
)
def test_no_field_of_an_item_is_too_many(item: dict[str, Any], more: dict[str, Any]) -> None:
    _request(input=[{**item, **more}])


def test_a_reference_is_the_item_that_it_names() -> None:
    given_input = [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_2"}]
    request = _request(input=given_input)
    assert references(request.input) == {"msg_1": "input[0].id", "msg_2": "input[1].id"}
    known = {name: {"id": name, "type": "message"} for name in ("msg_1", "msg_2")}
    assert stored_items(request.input, known) == list(known.values())


@pytest.mark.parametrize(
    ("chat", "own"),
    [
        ("messages", "input"),
        ("messages[1].content", "input[0].content"),
        ("messages[2].tool_calls[0].function.name", "input[1]"),
        ("tools[3].function.parameters.x", "tools[3].parameters.x"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("response_format", "text.format"),
        ("max_completion_tokens", "max_output_tokens"),
        ("reasoning_effort", "reasoning.effort"),
        ("temperature", "temperature"),
        (None, None),
    ],
)
def test_fields_in_errors_are_the_callers_own(chat: str | None, own: str | None) -> None:
    assert own_names(["instructions", "input[0]", "input[1]"]).of(chat) == own


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
    where, why = _problem(tools=[_TOOL], tool_choice={"type": "function", "name": "other"})
    assert (where, "'other'" in why) == ("tool_choice", True)
    assert "no tools" in _problem(tool_choice="required")[1]
    where, why = _problem(stream_options={"include_obfuscation": False})
    assert (where, "stream: true" in why) == ("stream_options", True)


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
