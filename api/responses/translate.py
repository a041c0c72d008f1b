"""A response's request → a chat request: the same question in the words of the other API."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.api.responses.items import (
    Content,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    Refusal,
)
from enginehouse.api.responses.schemas import (
    AllowedTools,
    NamedFunction,
    ResponseRequest,
    SchemaFormat,
)

from enginehouse.errors import InvalidRequestError

#: An item as it is stored and shown: JSON with an id.
Stored = dict[str, Any]
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}
#: The chat API's names of fields → those of this one.
FIELD_NAMES = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "request_output_len": "max_output_tokens",
    "messages": "input",
    "input_ids": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "top_logprobs": "include",
    "logprobs": "include",
}
#: Fields that both APIs have under one name and with one meaning.
_SAME = (
    "model",
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "stream",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
)


def new_id(kind: str) -> str:
    """An id for an item of this type."""
    return f"{_PREFIXES[kind]}_{uuid.uuid4().hex}"


def stored_items(given: str | Sequence[Item]) -> list[Stored]:
    """The request's own items as they are stored: each with an id and its text in parts."""
    if isinstance(given, str):
        return [_message(MessageItem(role="user", content=given))]
    return [_stored(item) for item in given]


def _stored(item: Item) -> Stored:
    rest: dict[str, Any]
    match item:
        case MessageItem():
            return _message(item)
        case FunctionCallItem():
            rest = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        case FunctionOutputItem():
            rest = {"call_id": item.call_id, "output": text_of(item.output)}
        case ReasoningItem():
            rest = {
                "summary": [part.model_dump() for part in item.summary],
                "content": [part.model_dump() for part in item.content or []],
            }
    return _item(item, **rest)


def _message(item: MessageItem) -> Stored:
    texts: list[dict[str, Any]]
    if item.role != "assistant":
        # What a user quotes of a model is a user's text.
        parts: list[Content] = (
            [item.content] if isinstance(item.content, str) else [[part] for part in item.content]
        )
        texts = [{"type": "input_text", "text": text_of(part)} for part in parts]
    elif isinstance(item.content, str):
        texts = [output_text(item.content)]
    else:
        texts = [
            {"type": "refusal", "refusal": part.refusal}
            if isinstance(part, Refusal)
            else output_text(part.text, part.logprobs if isinstance(part, OutputText) else None)
            for part in item.content
        ]
    return _item(item, role=item.role, content=texts)


def _item(item: Item, **rest: Any) -> Stored:
    return {
        "id": item.id or new_id(item.type),
        "type": item.type,
        "status": item.status or "completed",
        **rest,
    }


def output_text(text: str, logprobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A part of what a model says."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def text_of(content: Content) -> str:
    """All text of a content, in one."""
    if isinstance(content, str):
        return content
    return "".join(part.refusal if isinstance(part, Refusal) else part.text for part in content)


def messages_of(instructions: str | None, items: Sequence[Stored]) -> list[dict[str, Any]]:
    """Messages of the chat API: a turn's words and calls become one message.

    Args:
        instructions: of this request; those of earlier ones do not count.
        items: the whole conversation, oldest first.

    Raises:
        InvalidRequestError: if an output belongs to no call before it.
    """
    messages: list[dict[str, Any]] = []
    if instructions is not None:
        messages.append({"role": "system", "content": instructions})
    called: set[str] = set()
    for item in items:
        match item["type"]:
            case "message":
                messages.append({"role": item["role"], "content": _text(item["content"])})
            case "function_call":
                called.add(item["call_id"])
                _add_call(messages, item)
            case "function_call_output":
                if item["call_id"] not in called:
                    raise InvalidRequestError(
                        f"call_id {item['call_id']!r}: there is no function_call of that id before "
                        "its output; send the call too, or continue with previous_response_id",
                        field="input",
                    )
                messages.append(
                    {"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]}
                )
            case _:
                # A template shows no model what it thought in an earlier turn.
                continue
    return messages


def _text(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(part["refusal"] if part["type"] == "refusal" else part["text"] for part in parts)


def _add_call(messages: list[dict[str, Any]], item: Stored) -> None:
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    messages[-1].setdefault("tool_calls", []).append(call)


def chat_body(request: ResponseRequest, items: Sequence[Stored]) -> dict[str, Any]:
    """The body of a chat request; only fields that were given are in it.

    Args:
        items: the whole conversation, the request's own items last.

    Raises:
        InvalidRequestError: if the conversation does not fit together.
    """
    body: dict[str, Any] = {name: getattr(request, name) for name in _SAME}
    body["messages"] = messages_of(request.instructions, items)
    body["max_completion_tokens"] = request.max_output_tokens
    body["logprobs"] = True if request.include else None
    body["reasoning_effort"] = request.reasoning.effort if request.reasoning else None
    body["response_format"] = _format(request)
    body["prompt"] = request.prompt.model_dump(exclude_none=True) if request.prompt else None
    body |= _tools(request)
    return {name: value for name, value in body.items() if value is not None}


def _format(request: ResponseRequest) -> dict[str, Any] | None:
    form = None if request.text is None else request.text.format
    if form is None:
        return None
    if not isinstance(form, SchemaFormat):
        return {"type": form.type}
    named = {
        "name": form.name,
        "schema": form.json_schema,
        "description": form.description,
        "strict": form.strict,
    }
    return {
        "type": "json_schema",
        "json_schema": {name: value for name, value in named.items() if value is not None},
    }


def _tools(request: ResponseRequest) -> dict[str, Any]:
    """Tools and the choice among them; allowed ones are those that the model is told of."""
    choice, tools = request.tool_choice, request.tools or []
    told: Any = choice
    if isinstance(choice, NamedFunction):
        told = {"type": "function", "function": {"name": choice.name}}
    elif isinstance(choice, AllowedTools):
        allowed = {tool.name for tool in choice.tools}
        tools, told = [tool for tool in tools if tool.name in allowed], choice.mode
    if not tools:
        return {}
    functions = [tool.model_dump(exclude_none=True, exclude={"type"}) for tool in tools]
    return {
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": told,
    }
