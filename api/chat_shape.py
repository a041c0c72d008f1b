"""How chat is written: content, reasoning and tool calls, streamed and whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enginehouse.api.call import Shape
from enginehouse.api.generation import TextChunk

from enginehouse.generation import FinishReason
from enginehouse.text.reasoning import ReasoningSplitter, Said, Thought
from enginehouse.text.tool_calls import (
    ArgumentsDelta,
    CallStartDelta,
    Delta,
    TextDelta,
    ToolCallParser,
)

_Pieces = list[TextChunk]
_OPENING = {
    "delta": {"role": "assistant", "content": "", "refusal": None},
    "logprobs": None,
    "finish_reason": None,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer's text may hold beside content; each makes a fresh one, or None.

    Attributes:
        log_probs: whether the tokens' log-probabilities are wanted.
    """

    reasoning: Callable[[], ReasoningSplitter | None]
    calls: Callable[[], ToolCallParser | None]
    log_probs: bool = False


def chat_shape(reading: Reading) -> Shape:
    """The shape of one call's answers; it remembers how far each streamed answer has come."""
    writer = _Writer(reading)
    return Shape(
        stream_object="chat.completion.chunk",
        whole_object="chat.completion",
        opening=_OPENING,
        delta=writer.delta,
        whole=writer.whole,
    )


class _Writer:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._open: dict[int, _Answer] = {}

    def delta(self, piece: TextChunk) -> list[dict[str, Any]]:
        """See `Shape`."""
        answer = self._open.get(piece.index)
        if answer is None:
            answer = self._open[piece.index] = _Answer(self._reading)
        parts = answer.push(piece.text)
        if piece.finish is not None:
            parts += answer.finish()
        scores = self._scores([piece])
        deltas = [_as_delta(part) for part in parts]
        if not deltas and (piece.finish is not None or (scores or {}).get("content")):
            deltas = [{}]
        choices: list[dict[str, Any]] = [
            {"index": piece.index, "delta": delta, "logprobs": None, "finish_reason": None}
            for delta in deltas
        ]
        if choices:
            choices[-1] |= {"logprobs": scores, "finish_reason": answer.reason(piece)}
        return choices

    def whole(self, pieces: _Pieces) -> dict[str, Any]:
        """See `Shape`."""
        answer = _Answer(self._reading)
        parts = answer.push("".join(piece.text for piece in pieces)) + answer.finish()
        return {
            "index": pieces[0].index,
            "message": _message(parts),
            "logprobs": self._scores(pieces),
            "finish_reason": answer.reason(pieces[-1]),
        }

    def _scores(self, pieces: _Pieces) -> dict[str, Any] | None:
        return _log_probs(pieces) if self._reading.log_probs else None


class _Answer:
    """One answer's text, taken apart: reasoning first, then calls."""

    def __init__(self, reading: Reading) -> None:
        self._reasoning = reading.reasoning()
        self._calls = reading.calls()

    def push(self, text: str) -> list[Thought | Delta]:
        if self._reasoning is None:
            return self._said(text)
        return self._split(self._reasoning.push(text))

    def finish(self) -> list[Thought | Delta]:
        parts = [] if self._reasoning is None else self._split(self._reasoning.finish())
        return parts if self._calls is None else [*parts, *self._calls.finish()]

    def reason(self, piece: TextChunk) -> str | None:
        """OpenAI's `finish_reason`."""
        called = self._calls is not None and self._calls.called
        return "tool_calls" if called and piece.finish == FinishReason.STOP else piece.finish

    def _split(self, found: list[Thought | Said]) -> list[Thought | Delta]:
        parts: list[Thought | Delta] = []
        for part in found:
            parts += [part] if isinstance(part, Thought) else self._said(part.text)
        return parts

    def _said(self, text: str) -> list[Thought | Delta]:
        if self._calls is not None:
            return [*self._calls.push(text)]
        return [TextDelta(text)] if text else []


def _as_delta(part: Thought | Delta) -> dict[str, Any]:
    match part:
        case Thought(text):
            return {"reasoning_content": text}
        case TextDelta(text):
            return {"content": text}
        case CallStartDelta(index, call_id, name):
            function = {"name": name, "arguments": ""}
            call = {"index": index, "id": call_id, "type": "function", "function": function}
            return {"tool_calls": [call]}
        case ArgumentsDelta(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _message(parts: list[Thought | Delta]) -> dict[str, Any]:
    thoughts: list[str] = []
    said: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Thought(text):
                thoughts.append(text)
            case TextDelta(text):
                said.append(text)
            case CallStartDelta(_, call_id, name):
                function = {"name": name, "arguments": ""}
                calls.append({"id": call_id, "type": "function", "function": function})
            case ArgumentsDelta(_, text):
                calls[-1]["function"]["arguments"] += text
    content = "".join(said)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not content else content,
        "refusal": None,
    }
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _log_probs(pieces: _Pieces) -> dict[str, Any]:
    """The chosen tokens' log-probabilities; the engine gives no alternatives."""
    content = [
        {
            "token": score.text,
            "logprob": score.log_prob,
            "bytes": list(score.utf8),
            "top_logprobs": [],
        }
        for piece in pieces
        for score in piece.scores
        if score.log_prob is not None
    ]
    return {"content": content, "refusal": None}
