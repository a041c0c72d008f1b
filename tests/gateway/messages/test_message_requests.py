"""What `/v1/messages` takes, what it refuses, and what it tells the chat API."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types.beta.message_create_params import (
    MessageCreateParamsBase as BetaMessageCreateParams,
)
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsBase
from enginehouse.api.schemas import ChatRequest
from enginehouse.gateway.messages.schemas import MessagesPrompt, MessagesRequest
from enginehouse.gateway.messages.translate import ChatConversation, chat_body
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from enginehouse.errors import InvalidRequestError
from enginehouse.requests.problem import problem_of

_TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
_HI = [{"role": "user", "content": "Hi"}]


def _request(**fields: Any) -> MessagesRequest:
    whole = {"model": "m", "max_tokens": 5, "messages": _HI} | fields
    return MessagesRequest.model_validate(whole)


def _chat(**fields: Any) -> dict[str, Any]:
    request = _request(**fields)
    body = chat_body(request, ChatConversation.of(request).messages)
    # Whatever comes out of here is a chat request.
    ChatRequest.model_validate(body)
    return body


def _messages(*blocks: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(blocks)}]


def test_every_field_of_the_sdk_is_known() -> None:
    known = set(MessagesRequest.model_fields)
    of_sdk = set(MessageCreateParamsBase.__annotations__)
    # Sent as a header.
    beta = set(BetaMessageCreateParams.__annotations__) - {"betas"}
    assert of_sdk | beta | {"stream", "temperature", "top_p", "top_k"} <= known
    assert set(MessageCountTokensParams.__annotations__) <= set(MessagesPrompt.model_fields)


@pytest.mark.parametrize(
    "hint",
    [
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"system": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        {"metadata": {"user_id": "u", "more": 1}},
        {"service_tier": "standard_only"},
        {"service_tier": "auto", "speed": "standard"},
        {"mcp_servers": []},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        {"diagnostics": {"previous_message_id": "x"}},
        {"tools": [{**_TOOL, "type": "custom", "defer_loading": True, "eager_input_streaming": True,
                    "input_examples": [{}], "allowed_callers": ["direct"], "strict": True}]},
        {"tools": []},
        {"nonsense": None, "container": None},
    ],
)  # fmt: skip
def test_a_hint_is_taken(hint: dict[str, Any]) -> None:
    assert _chat(**hint)["messages"][-1] == {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"user_profile_id": "p"}, "user_profile_id"),
        ({"workspace_id": "w"}, "workspace_id"),
        ({"thread": {"id": "t"}}, "thread"),
        ({"compaction": {}}, "compaction"),
        ({"fallbacks": [{}]}, "fallbacks"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}},
         "context_management.edits[0]"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": _messages({"type": "image"})}, "messages[0].content[0]"),
        ({"messages": _messages({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": _messages({"type": "server_tool_use"}, role="assistant")},
         "messages[0].content[0]"),
        ({"messages": _messages({"type": "document", "source": {"type": "base64"}})},
         "messages[0].content[0].source"),
        ({"system": [{"type": "image"}]}, "system[0]"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as failed:
        _request(**fields)
    whole = {"model": "m", "max_tokens": 5, "messages": _HI} | fields
    assert problem_of(failed.value.errors(), whole).param == field


_RESULT = {"type": "tool_result", "tool_use_id": "t"}


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (_messages({"type": "tool_use", "id": "t", "name": "f"}), "messages[0].content[0]"),
        (_messages({"type": "text", "text": "x"}, _RESULT, role="assistant"),
         "messages[0].content[1]"),
        ([*_HI, *_messages(_RESULT)], "messages[1].content[0].tool_use_id"),
        (_messages({"type": "thinking", "thinking": "x"}), "messages[0].content[0]"),
    ],
)  # fmt: skip
def test_a_block_that_does_not_belong_there_is_refused(messages: Any, field: str) -> None:
    with pytest.raises(InvalidRequestError) as failed:
        _chat(messages=messages)
    assert failed.value.field == field


def test_fields_have_their_chat_names() -> None:
    body = _chat(
        system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        stop_sequences=["x"],
        top_k=3,
        top_p=0.5,
        temperature=0.25,
        metadata={"user_id": "u"},
        speed="fast",
        tools=[{**_TOOL, "description": "d"}],
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    )
    assert body.pop("messages")[0] == {"role": "system", "content": "ab"}
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    assert body == {
        "model": "m",
        "stop": ["x"],
        "top_k": 3,
        "top_p": 0.5,
        "temperature": 0.25,
        "user": "u",
        "service_tier": "fast",
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
    }


def test_a_conversation_with_tools_becomes_messages() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "é"}}
    talk = [
        *_HI,
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Wait.", "citations": None},
            {**use, "caller": {"type": "direct"}, "cache_control": None}]},
        {"role": "user", "content": [
            {**_RESULT, "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
            {"type": "text", "text": "So"}, {"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{**_RESULT, "content": "no", "is_error": True}]},
        {"role": "system", "content": "Be short."},
        {"role": "assistant", "content": []},
        {"role": "user", "content": [
            {"type": "document", "title": "T", "source": {"type": "text", "data": "D"}},
            {"type": "document", "source": {"type": "content", "content": "C"}},
            {"type": "search_result", "source": "s", "title": "t",
             "content": [{"type": "text", "text": "r"}]}]},
    ]  # fmt: skip
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}}
    assert _chat(messages=talk)["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Wait.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "12"},
        {"role": "user", "content": "So?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t", "content": "Error: no"},
        {"role": "system", "content": "Be short."},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "T\nDCt\ns\nr"},
    ]


_BLOCKS = [
    {"type": "text", "text": "x"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "thinking", "thinking": "x", "signature": "y"},
]


@given(
    block=st.sampled_from(_BLOCKS),
    more=st.dictionaries(
        st.sampled_from(["cache_control", "citations", "extra", "caller"]),
        st.sampled_from([None, 1, "x", [], {"type": "ephemeral"}]),
    ),
)
def test_no_field_of_a_block_is_too_many(block: dict[str, Any], more: dict[str, Any]) -> None:
    _chat(messages=_messages({**block, **more}, role="assistant"))


@pytest.mark.parametrize(
    ("chat", "own"),
    [
        ("messages[1].content", "messages[0].content"),
        ("tools[0].function.parameters.properties", "tools[0].input_schema.properties"),
        ("tools[0].function.name", "tools[0].name"),
        ("response_format.json_schema.schema", "output_config.format.schema"),
        ("stop", "stop_sequences"),
        ("stop[2]", "stop_sequences[2]"),
        ("user", "metadata.user_id"),
        ("max_tokens", "max_tokens"),
    ],
)
def test_fields_in_errors_are_the_callers_own(chat: str, own: str) -> None:
    told = ChatConversation.of(_request(system="x"))
    assert told.names.of(chat) == own


def test_too_many_stop_sequences_are_refused_by_their_name() -> None:
    with pytest.raises(InvalidRequestError) as failed:
        _chat(stop_sequences=[str(number) for number in range(17)])
    assert failed.value.field == "stop_sequences"
