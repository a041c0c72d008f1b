"""Translates chunks of a chat answer to the events of a message, and builds the message.

One block is open at a time: thinking, text, or a tool call. It is closed when the next one begins.
The sequence of events is Anthropic's ("Streaming Messages").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

Event = dict[str, Any]
#: The chat API's finish reasons → stop reasons; `MessageEnding` refines two of them.
_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
_REFUSED = {
    "type": "refusal",
    "category": None,
    "explanation": "a content rule of this endpoint ended the answer",
}


@dataclass(frozen=True, slots=True)
class MessageEnding:
    """How an answer ended, beyond what the chat API's finish reason says.

    Attributes:
        stop: the stop sequence that ended it, or None.
        context: whether it ended at the end of the context, before its own limit.
    """

    stop: str | None = None
    context: bool = False

    def reason(self, finish: str | None) -> str:
        """`stop_reason`."""
        if finish == "length" and self.context:
            return "model_context_window_exceeded"
        if finish == "stop" and self.stop is not None:
            return "stop_sequence"
        return _REASONS.get(finish or "stop", "end_turn")


@dataclass(slots=True)
class _Open:
    """A block under construction; the field of its type grows.

    Attributes:
        place: index of a tool call among the answer's calls.
    """

    block: dict[str, Any]
    place: int = -1
    parts: list[str] = field(default_factory=list)

    def push(self, text: str) -> dict[str, Any]:
        """Append text; returns the delta for the event."""
        self.parts.append(text)
        match self.block["type"]:
            case "text":
                return {"type": "text_delta", "text": text}
            case "thinking":
                return {"type": "thinking_delta", "thinking": text}
            case _:
                return {"type": "input_json_delta", "partial_json": text}

    def whole(self) -> dict[str, Any]:
        """The block with everything that was pushed."""
        text, kind = "".join(self.parts), self.block["type"]
        return {**self.block, **({"input": _input(text)} if kind == "tool_use" else {kind: text})}


def _input(arguments: str) -> dict[str, Any]:
    """The arguments of a call as an object, as SDKs parse them from a stream.

    The arguments are the model's text. If a limit cut them, the object is as complete as possible.
    If they are not an object, the text is returned under `arguments`.
    """
    if not arguments.strip():
        return {}
    try:
        found = from_json(arguments, allow_partial="trailing-strings")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"arguments": arguments}


class MessageWriter:
    """Builds one message.

    Attributes:
        message: the message so far; complete after `finish`.
    """

    def __init__(self, message_id: str, model: str, usage: Mapping[str, Any]) -> None:
        """`usage` contains what is known before the answer."""
        self.message: dict[str, Any] = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": dict(usage),
        }
        self._open: _Open | None = None
        self._finish: str | None = None

    def begin(self) -> list[Event]:
        """The events before any content."""
        message = {**self.message, "content": [], "usage": dict(self.message["usage"])}
        return [{"type": "message_start", "message": message}, {"type": "ping"}]

    def choice(self, choice: Mapping[str, Any]) -> list[Event]:
        """The events for a choice of a chat chunk."""
        self._finish = choice.get("finish_reason") or self._finish
        said: Mapping[str, Any] = choice.get("delta") or {}
        events: list[Event] = []
        if said.get("reasoning_content"):
            events += self._said({"type": "thinking", "thinking": "", "signature": ""},
                                 said["reasoning_content"])  # fmt: skip
        if said.get("content"):
            events += self._said({"type": "text", "text": ""}, said["content"])
        for place, call in enumerate(said.get("tool_calls") or []):
            events += self._called(call, call.get("index", place))
        return events

    def finish(self, ending: MessageEnding, usage: Mapping[str, Any]) -> list[Event]:
        """The events that end a message.

        Args:
            usage: usage of the whole answer, with this API's field names.
        """
        events = self._close()
        reason = ending.reason(self._finish)
        stop = ending.stop if reason == "stop_sequence" else None
        details = _REFUSED if reason == "refusal" else None
        end = {"stop_reason": reason, "stop_sequence": stop, "stop_details": details}
        self.message |= end
        self.message["usage"] = {**self.message["usage"], **usage}
        return [
            *events,
            {"type": "message_delta", "delta": end, "usage": dict(usage)},
            {"type": "message_stop"},
        ]

    def _said(self, empty: dict[str, Any], text: str) -> list[Event]:
        events: list[Event] = []
        if self._open is None or self._open.block["type"] != empty["type"]:
            events += self._start(_Open(empty))
        return [*events, self._delta(text)]

    def _called(self, call: Mapping[str, Any], place: int) -> list[Event]:
        events: list[Event] = []
        function = call.get("function") or {}
        if self._open is None or self._open.place != place:
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            events += self._start(_Open(block, place))
        if function.get("arguments"):
            events.append(self._delta(function["arguments"]))
        return events

    def _delta(self, text: str) -> Event:
        assert self._open is not None  # noqa: S101 - it was just opened
        return {"type": "content_block_delta", "index": self._index, "delta": self._open.push(text)}

    def _start(self, opened: _Open) -> list[Event]:
        events = self._close()
        self._open = opened
        block = dict(opened.block)
        return [*events, {"type": "content_block_start", "index": self._index,
                          "content_block": block}]  # fmt: skip

    def _close(self) -> list[Event]:
        opened, self._open = self._open, None
        if opened is None:
            return []
        event = {"type": "content_block_stop", "index": self._index}
        self.message["content"].append(opened.whole())
        return [event]

    @property
    def _index(self) -> int:
        """Index of the open block."""
        return len(self.message["content"])
