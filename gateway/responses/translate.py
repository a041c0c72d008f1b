"""Translates a Responses request to a chat request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enginehouse.gateway.responses.schemas import (
    LOGPROBS,
    ResponsePrompt,
    ResponseRequest,
    SchemaFormat,
    ToolChoiceAllowed,
    ToolChoiceFunction,
)
from enginehouse.gateway.responses.stored import StoredItem

from enginehouse.errors import InvalidRequestError

#: Fields with the same name and meaning in both APIs.
_SAME = ("temperature", "top_p", "stream", "metadata", "prompt_cache_key")
#: The chat API lacks this tier and would treat it as the default.
_DEFAULT_TIERS = {"ultrafast": "default"}


@dataclass(frozen=True, slots=True)
class TranslatedMessages:
    """The conversation as chat messages.

    Attributes:
        places: for each message, the field of the request that it comes from.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, place: str, **message: Any) -> None:
        """Append a message."""
        self.messages.append(message)
        self.places.append(place)


def told(
    instructions: str | None, items: Sequence[StoredItem], own: int | None = None
) -> TranslatedMessages:
    """Translate items to chat messages; text and calls of one turn become one message.

    Args:
        instructions: instructions of this request; those of earlier requests do not apply.
        items: the whole conversation, oldest first.
        own: number of items at the end that are the request's own; None if its input is a string.

    Raises:
        InvalidRequestError: if an output belongs to no earlier call.
    """
    found = TranslatedMessages()
    if instructions is not None:
        found.add("instructions", role="system", content=instructions)
    called: set[str] = set()
    for place, item in zip(_places(len(items), own), items, strict=True):
        match item["type"]:
            case "message":
                found.add(place, role=item["role"], content=_text(item["content"]))
            case "function_call":
                called.add(item["call_id"])
                _add_call(found, place, item)
            case "function_call_output":
                if item["call_id"] not in called:
                    raise _no_call(item["call_id"], place)
                call_id = item["call_id"]
                found.add(place, role="tool", tool_call_id=call_id, content=item["output"])
            case _:
                # Templates do not show a model its reasoning of earlier turns.
                continue
    return found


def _places(count: int, own: int | None) -> list[str]:
    earlier = count - (1 if own is None else own)
    mine = ["input"] if own is None else [f"input[{place}]" for place in range(own)]
    return ["previous_response_id"] * earlier + mine


def _no_call(call_id: str, place: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"call_id {call_id!r}: there is no function_call of that id before its output; send the "
        "call too, or continue with previous_response_id",
        field=f"{place}.call_id",
    )


def _text(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(part["refusal"] if part["type"] == "refusal" else part["text"] for part in parts)


def _add_call(found: TranslatedMessages, place: str, item: StoredItem) -> None:
    if not found.messages or found.messages[-1]["role"] != "assistant":
        found.add(place, role="assistant", content=None)
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    found.messages[-1].setdefault("tool_calls", []).append(call)


def told_by(request: ResponsePrompt, items: Sequence[StoredItem]) -> TranslatedMessages:
    """The chat messages of a request.

    Args:
        items: the whole conversation, the request's own items last.

    Raises:
        InvalidRequestError: if the conversation is inconsistent.
    """
    own = None if isinstance(request.input, str) else len(request.input)
    return told(request.instructions, items, own)


def counted_body(request: ResponsePrompt, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body of a chat request with the fields that determine the prompt."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "response_format": _format(request),
        "chat_template_kwargs": request.chat_template_kwargs,
        "continue_final_message": request.continue_final_message,
        **_tools(request),
    }
    return _given(body)


def chat_body(request: ResponseRequest, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body of a chat request; it contains only fields that were given.

    Args:
        messages: see `told_by`.
    """
    body: dict[str, Any] = {name: getattr(request, name) for name in _SAME} | request.shared
    # The chat API treats both alike, but limits their lengths differently.
    body["user"] = request.user or request.safety_identifier
    tier = request.service_tier
    body["service_tier"] = None if tier is None else _DEFAULT_TIERS.get(tier, tier)
    body["max_completion_tokens"] = request.max_output_tokens
    body["logprobs"] = True if LOGPROBS in (request.include or ()) else None
    body["prompt"] = request.prompt.model_dump(exclude_none=True) if request.prompt else None
    return counted_body(request, messages) | _given(body)


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _format(request: ResponsePrompt) -> dict[str, Any] | None:
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


def _tools(request: ResponsePrompt) -> dict[str, Any]:
    """Tools and tool choice; of allowed tools only these are shown to the model."""
    choice, tools = request.tool_choice, request.tools or []
    told: Any = choice
    if isinstance(choice, ToolChoiceFunction):
        told = {"type": "function", "function": {"name": choice.name}}
    elif isinstance(choice, ToolChoiceAllowed):
        allowed = {tool.name for tool in choice.tools}
        tools, told = [tool for tool in tools if tool.name in allowed], choice.mode
    if not tools:
        return {}
    functions = [tool.model_dump(exclude_none=True, exclude={"type"}) for tool in tools]
    return {
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": told,
    }
