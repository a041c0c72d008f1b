"""Translates a Messages request to a chat request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from enginehouse.gateway.messages.blocks import (
    Block,
    ThoughtBlock,
    ToolResultBlock,
    ToolUseBlock,
    said,
)
from enginehouse.gateway.messages.schemas import MessageParam, MessagesPrompt, MessagesRequest
from enginehouse.gateway.translation.own_names import OwnNames

from enginehouse.errors import InvalidRequestError

#: Field names of the chat API and of the engine → field names of this API.
_NAMES = {
    "response_format.json_schema": "output_config.format",
    "response_format": "output_config.format",
    "max_completion_tokens": "max_tokens",
    "request_output_len": "max_tokens",
    "reasoning_effort": "output_config.effort",
    "input_ids": "messages",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "service_tier": "speed",
    "tool_choice.function": "tool_choice",
}
_TOOL_NAMES = {"parameters": "input_schema"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_MOST_STOPS = 16


@dataclass(frozen=True, slots=True)
class ChatConversation:
    """The conversation as chat messages.

    Attributes:
        places: for each message, the field of the request that it comes from.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    called: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, request: MessagesPrompt) -> ChatConversation:
        """Translate the conversation of a request.

        Raises:
            InvalidRequestError: naming a block that is not allowed at its position.
        """
        found = cls()
        if request.system:
            found.add("system", role="system", content=said(request.system))
        for index, message in enumerate(request.messages):
            found._tell(message, f"messages[{index}]")
        return found

    @property
    def names(self) -> OwnNames:
        """This API's names for fields of the chat request."""
        return OwnNames(_NAMES, _TOOL_NAMES, self.places)

    def add(self, place: str, **message: Any) -> None:
        """Append a message."""
        self.messages.append(message)
        self.places.append(place)

    def _tell(self, message: MessageParam, place: str) -> None:
        if isinstance(message.content, str):
            self.add(place, role=message.role, content=message.content)
        elif message.role == "assistant":
            self._answered(message.content, place)
        else:
            self._asked(message.role, message.content, place)

    def _answered(self, blocks: Sequence[Block], place: str) -> None:
        """An assistant turn becomes one message with its text and tool calls.

        Reasoning is dropped.
        """
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        for index, block in enumerate(blocks):
            match block:
                case ToolResultBlock():
                    raise _misplaced(block, "user", f"{place}.content[{index}]")
                case ToolUseBlock():
                    self.called.add(block.id)
                    function = {"name": block.name, "arguments": orjson.dumps(block.input).decode()}
                    calls.append({"id": block.id, "type": "function", "function": function})
                case ThoughtBlock():
                    continue
                case _:
                    texts.append(block.said)
        text = "".join(texts)
        told: dict[str, Any] = {"role": "assistant", "content": text or None if calls else text}
        self.add(place, **(told | ({"tool_calls": calls} if calls else {})))

    def _asked(self, role: str, blocks: Sequence[Block], place: str) -> None:
        """Tool results become messages of their own, at their position between the texts."""
        texts: list[str] = []
        for index, block in enumerate(blocks):
            where = f"{place}.content[{index}]"
            match block:
                case ThoughtBlock() | ToolUseBlock():
                    raise _misplaced(block, "assistant", where)
                case ToolResultBlock():
                    if role != "user":
                        raise _misplaced(block, "user", where)
                    self._say(role, texts, place)
                    self._result(block, where)
                case _:
                    texts.append(block.said)
        self._say(role, texts, place)
        if not blocks:
            self.add(place, role=role, content="")

    def _say(self, role: str, texts: list[str], place: str) -> None:
        if texts:
            self.add(place, role=role, content="".join(texts))
            texts.clear()

    def _result(self, block: ToolResultBlock, place: str) -> None:
        if block.tool_use_id not in self.called:
            raise InvalidRequestError(
                f"unexpected tool_use_id {block.tool_use_id!r}: each tool_result block must have a "
                "corresponding tool_use block in a message before it",
                field=f"{place}.tool_use_id",
            )
        self.add(place, role="tool", tool_call_id=block.tool_use_id, content=block.said)


def _misplaced(block: Any, role: str, place: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{block.type} blocks can only be in messages of the role {role}", field=place
    )


def told_body(request: MessagesPrompt, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body of a chat request with the fields that determine the prompt."""
    choice = request.tool_choice
    body: dict[str, Any] = {"model": request.model, "messages": messages}
    if _is_open(messages[-1]):
        body["continue_final_message"] = True
    variables = _thinking(request)
    if variables:
        body["chat_template_kwargs"] = variables
    output = request.output_config
    form = request.output_format if output is None else output.format or request.output_format
    if form is not None:
        named = {"name": "output", "schema": form.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if request.tools:
        body["tools"] = [_tool(tool.model_dump(exclude_none=True)) for tool in request.tools]
    if choice is not None and (request.tools or choice.type not in {"auto", "none"}):
        body["tool_choice"] = _CHOICES.get(choice.type)
        if choice.type == "tool":
            if choice.name is None:
                raise InvalidRequestError("Field required", field="tool_choice.name")
            body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        if choice.disable_parallel_tool_use:
            body["parallel_tool_calls"] = False
    return body


def _is_open(message: Mapping[str, Any]) -> bool:
    """Whether the answer continues the text of this last, assistant message."""
    said = message["role"] == "assistant" and message.get("content")
    return bool(said) and "tool_calls" not in message


def _thinking(request: MessagesPrompt) -> dict[str, Any]:
    """Template variables for `thinking` and `effort`.

    Templates that do not use them ignore them.
    """
    found: dict[str, Any] = {}
    if request.thinking is not None:
        thinks = request.thinking.type != "disabled"
        found |= {"enable_thinking": thinks, "thinking": thinks}
    if request.output_config is not None and request.output_config.effort is not None:
        found["reasoning_effort"] = request.output_config.effort
    return found


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    return {"type": "function", "function": function | {"parameters": tool["input_schema"]}}


def chat_body(request: MessagesRequest, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The body of a chat request, without the token limit, which works differently here.

    Raises:
        InvalidRequestError: if there are too many stop sequences.
    """
    stops = request.stop_sequences or []
    if len(stops) > _MOST_STOPS:
        raise InvalidRequestError(
            f"there are {len(stops)}, and at most {_MOST_STOPS} are looked for",
            field="stop_sequences",
        )
    body: dict[str, Any] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": stops or None,
        "stream": request.stream,
        "user": request.metadata.user_id if request.metadata else None,
        "service_tier": "fast" if request.speed == "fast" else None,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return told_body(request, messages) | given
