"""From a call to a response of OpenAI's chat or completions API, streamed or whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from enginehouse.api.begun import Begun, Ends, begin
from enginehouse.api.call import TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import ErrorEvents, EventStream, event, until_disconnect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from enginehouse.errors import EnginehouseError


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every body of one answer repeats."""

    id: str
    object: str
    created: int
    model: str
    fingerprint: str | None
    tier: str | None = None

    @classmethod
    def new(cls, kind: str, begun: Begun) -> Envelope:
        """The envelope of an answer."""
        call, served = begun.call, begun.answered.served_by
        tier = served_tier(call)
        return cls(call.id, kind, int(time.time()), served.model, served.fingerprint, tier)

    def body(self, **rest: Any) -> dict[str, Any]:
        """A body in this envelope."""
        tier = {} if self.tier is None else {"service_tier": self.tier}
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            **tier,
            **rest,
        }


async def answer(request: Request, state: ApiState, call: TextCall) -> Response:
    """Run a call through the stages and answer.

    Raises:
        EnginehouseError: if it fails before the first byte.
    """
    request.state.response_headers = call.response_headers
    if call.ask.stream:
        begun = await until_disconnect(request.receive, begin(state.text, call))
        return EventStream(begun, ChatEvents(begun))
    body, begun = await until_disconnect(request.receive, _whole(state, call))
    return WholeAnswer(body, call.response_headers, begun)


class WholeAnswer(JSONResponse):
    """An answer that is not streamed; the stages behind its last chunk end once it is out."""

    def __init__(self, body: Any, headers: Mapping[str, str], begun: Begun) -> None:
        super().__init__(body, headers=headers)
        self._begun = begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        async with self._begun as pieces:
            await super().__call__(scope, receive, send)
            async for _ in pieces:
                pass


async def _whole(state: ApiState, call: TextCall) -> tuple[dict[str, Any], Begun]:
    begun = await begin(state.text, call)
    return await whole_body(begun), begun


async def whole_body(begun: Begun) -> dict[str, Any]:
    """The body of an answer that is not streamed.

    The answer is behind its last chunk then; the block around it has ended only if this fails.

    Raises:
        ServingError: if the call fails.
    """
    async with AsyncExitStack() as failing:
        failing.push_async_exit(begun)
        answers = await _gathered(begun)
        shape = begun.shape()
        body = Envelope.new(shape.whole_object, begun).body(
            choices=[shape.whole(one) for one in answers], usage=begun.answered.usage.as_json()
        )
        failing.pop_all()
    return body


async def _gathered(begun: Begun) -> list[list[TextChunk]]:
    """All chunks of each answer that is kept, by index.

    Raises:
        ServingError: if the call fails.
    """
    found: dict[int, list[TextChunk]] = {}
    ends = Ends(begun.call)
    async for piece in begun.pieces:
        found.setdefault(piece.index, []).append(piece)
        if ends.after(piece):
            break
    answers = [found[index] for index in sorted(found)]
    choices = begun.answered.choices
    return answers if choices is None else choices.best(answers)


class ChatEvents(ErrorEvents):
    """OpenAI's events of a streamed answer; see `EventWriter`."""

    def __init__(self, begun: Begun) -> None:
        """Nothing has been written yet."""
        self._answered = begun.answered
        self._ask = begun.call.ask
        self._shape = begun.shape()
        self._envelope = Envelope.new(self._shape.stream_object, begun)
        self._opened: set[int] = set()
        self._ends = Ends(begun.call)
        self._complete = False

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def events(self, piece: TextChunk) -> bytes:
        """The events of a chunk; one write to the socket for all of them."""
        said = list(self._shape.delta(piece))
        if self._shape.opening is not None and piece.index not in self._opened:
            self._opened.add(piece.index)
            said.insert(0, {"index": piece.index, **self._shape.opening})
        extra, envelope = self._so_far(), self._envelope
        text = b"".join(event(envelope.body(choices=[one], **extra)) for one in said)
        self._complete = self._ends.after(piece)
        return text + self._usage() if self._complete else text

    def last(self) -> bytes | None:
        """`[DONE]`, once the last chunk is out."""
        return self.done if self._complete else None

    async def ending(self, error: EnginehouseError | None) -> bytes:
        """See `EventWriter`; for an answer whose last chunk was not recognized."""
        end = await super().ending(error)
        return end if error is not None else self._usage() + end

    def _so_far(self) -> dict[str, Any]:
        if self._ask.usage_so_far and self._answered.choices is not None:
            return {"usage": self._answered.choices.usage.as_json()}
        return {"usage": None} if self._ask.include_usage else {}

    def _usage(self) -> bytes:
        if not self._ask.include_usage:
            return b""
        return event(self._envelope.body(choices=[], usage=self._answered.usage.as_json()))
