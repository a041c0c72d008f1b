"""Translates chunks of a chat answer to the events of a response, and builds the response.

One item is open at a time: reasoning, a message, or a function call. It is closed when the next
one begins, so that events of two items are never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from enginehouse.gateway.responses.stored import StoredItem, new_id, output_text

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import public_text, status_of

Event = dict[str, Any]
#: The chat API's finish reasons of incomplete answers → reasons of this API.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Open(Protocol):
    """An item under construction."""

    item: StoredItem

    def begin(self) -> list[Event]:
        """Events after `response.output_item.added`."""
        ...

    def end(self) -> list[Event]:
        """Events before `response.output_item.done`, which complete the item."""
        ...


class _Text:
    """A message or reasoning item: one part of text that grows."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        role: dict[str, Any] = {"role": "assistant"} if kind == "message" else {"summary": []}
        self.item: StoredItem = {
            "id": new_id(kind),
            "type": kind,
            "status": "in_progress",
            **role,
            "content": [],
        }
        self._where = {"item_id": self.item["id"], "content_index": 0}
        self._name = "output_text" if kind == "message" else "reasoning_text"

    @property
    def _part(self) -> dict[str, Any]:
        text = "".join(self._texts)
        if self.kind == "message":
            return output_text(text, self._logprobs)
        return {"type": self._name, "text": text}

    def begin(self) -> list[Event]:
        return [{"type": "response.content_part.added", **self._where, "part": self._part}]

    def push(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        self._texts.append(text)
        self._logprobs.extend(logprobs)
        event = {"type": f"response.{self._name}.delta", **self._where, "delta": text}
        return [event | self._scores(list(logprobs))]

    def end(self) -> list[Event]:
        part = self._part
        self.item["content"] = [part]
        done = {"type": f"response.{self._name}.done", **self._where, "text": part["text"]}
        return [
            done | self._scores(self._logprobs),
            {"type": "response.content_part.done", **self._where, "part": part},
        ]

    def _scores(self, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
        return {"logprobs": logprobs} if self.kind == "message" else {}


class _FunctionCall:
    """A function call, whose arguments grow."""

    def __init__(self, call_id: str, name: str, place: int) -> None:
        self.place = place
        self._arguments: list[str] = []
        self.item: StoredItem = {
            "id": new_id("function_call"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }

    def begin(self) -> list[Event]:
        return []

    def push(self, arguments: str) -> list[Event]:
        self._arguments.append(arguments)
        kind = "response.function_call_arguments.delta"
        return [{"type": kind, "item_id": self.item["id"], "delta": arguments}]

    def end(self) -> list[Event]:
        self.item["arguments"] = "".join(self._arguments)
        return [
            {
                "type": "response.function_call_arguments.done",
                "item_id": self.item["id"],
                "name": self.item["name"],
                "arguments": self.item["arguments"],
            }
        ]


class ResponseWriter:
    """Builds one response.

    Attributes:
        response: the response so far; complete after `finish` or `fail`.
    """

    def __init__(self, response: dict[str, Any]) -> None:
        self.response = {**response, "status": "in_progress", "output": []}
        self._open: _Open | None = None
        self._numbered = 0
        self._reason: str | None = None

    def begin(self) -> list[Event]:
        """The events before any output."""
        return [
            self._event({"type": kind, "response": self._snapshot()})
            for kind in ("response.created", "response.in_progress")
        ]

    def choice(self, choice: Mapping[str, Any]) -> list[Event]:
        """The events for a choice of the chat API.

        Args:
            choice: a choice of a chunk (``delta``) or of a whole answer (``message``).
        """
        self._reason = choice.get("finish_reason") or self._reason
        said: Mapping[str, Any] = choice.get("delta") or choice.get("message") or {}
        events: list[Event] = []
        if said.get("reasoning_content"):
            events += self._said("reasoning", said["reasoning_content"])
        logprobs = (choice.get("logprobs") or {}).get("content") or []
        if said.get("content"):
            events += self._said("message", said["content"], logprobs)
        for place, call in enumerate(said.get("tool_calls") or []):
            events += self._called(call, call.get("index", place))
        return events

    def finish(self, usage: Mapping[str, Any], now_s: float) -> list[Event]:
        """The events that end a complete or truncated answer; `last` follows them.

        Args:
            usage: the chat API's usage.
        """
        cut = _INCOMPLETE.get(self._reason or "")
        status = "completed" if cut is None else "incomplete"
        events = [] if self.response["output"] or self._open else self._start(_Text("message"))
        events += self._close(status)
        self.response["status"] = status
        self.response["usage"] = _usage(usage)
        if cut is None:
            self.response["completed_at"] = int(now_s)
        else:
            self.response["incomplete_details"] = {"reason": cut}
        return events

    def fail(self, error: EnginehouseError) -> list[Event]:
        """The events that end a failed answer; `last` follows them."""
        busy = status_of(error)[0] == HTTPStatus.TOO_MANY_REQUESTS
        events = self._close("incomplete")
        self.response["status"] = "failed"
        self.response["error"] = {
            "code": "rate_limit_exceeded" if busy else "server_error",
            "message": public_text(error),
        }
        return events

    def last(self) -> Event:
        """The last event, with the whole response."""
        kind = f"response.{self.response['status']}"
        return self._event({"type": kind, "response": self._snapshot()})

    def _said(self, kind: str, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> list[Event]:
        events: list[Event] = []
        if not isinstance(self._open, _Text) or self._open.kind != kind:
            events += self._start(_Text(kind))
        assert isinstance(self._open, _Text)  # noqa: S101 - it was just opened
        return events + self._placed(self._open.push(text, logprobs))

    def _called(self, call: Mapping[str, Any], place: int) -> list[Event]:
        events: list[Event] = []
        function = call.get("function") or {}
        if not isinstance(self._open, _FunctionCall) or self._open.place != place:
            events += self._start(_FunctionCall(call["id"], function["name"], place))
        assert isinstance(self._open, _FunctionCall)  # noqa: S101 - it was just opened
        if function.get("arguments"):
            events += self._placed(self._open.push(function["arguments"]))
        return events

    def _start(self, item: _Open) -> list[Event]:
        events = self._close("completed")
        self._open = item
        added = {"type": "response.output_item.added", "item": dict(item.item)}
        return events + self._placed([added, *item.begin()])

    def _close(self, status: str) -> list[Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        ends = item.end()
        item.item["status"] = status
        events = self._placed([*ends, {"type": "response.output_item.done", "item": item.item}])
        self.response["output"].append(item.item)
        return events

    def _placed(self, events: Sequence[Event]) -> list[Event]:
        """The events with the output index of the open item."""
        place = len(self.response["output"])
        return [self._event({**event, "output_index": place}) for event in events]

    def _event(self, event: Event) -> Event:
        self._numbered += 1
        return {**event, "sequence_number": self._numbered - 1}

    def _snapshot(self) -> dict[str, Any]:
        return {**self.response, "output": list(self.response["output"])}


def _usage(chat: Mapping[str, Any]) -> dict[str, Any]:
    """`usage` with this API's field names."""
    prompt = chat.get("prompt_tokens_details") or {}
    completion = chat.get("completion_tokens_details") or {}
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": prompt.get("cached_tokens") or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": {
            "reasoning_tokens": completion.get("reasoning_tokens") or 0,
        },
        "total_tokens": chat["total_tokens"],
    }
