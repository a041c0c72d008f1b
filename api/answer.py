"""From a call to a response, streamed or whole."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

from enginehouse.api.call import Call, Ends, Shape
from enginehouse.api.generation import Piece
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import EventStream, LastEvents, event, primed, until_disconnect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from enginehouse.errors import EngineUnavailableError


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
    def new(cls, kind: str, call: Call) -> Envelope:
        """The envelope of an answer whose source is known."""
        assert call.served_by is not None  # noqa: S101 - its first piece is there
        served = call.served_by
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


async def answer(request: Request, state: ApiState, call: Call) -> Response:
    """Run a call through the stages and answer.

    Raises:
        EnginehouseError: if it fails before the first byte.
    """
    request.state.response_headers = call.response_headers
    pieces = state.pipeline(call)
    if call.ask.stream:
        begun = await until_disconnect(request.receive, primed(pieces))
        return EventStream(_events(begun, call), call.response_headers)
    body = await until_disconnect(request.receive, whole_body(pieces, call))
    return WholeAnswer(body, call.response_headers, pieces)


class WholeAnswer(JSONResponse):
    """An answer that is not streamed; the stages close their books once it is out."""

    def __init__(
        self, body: Any, headers: Mapping[str, str], pieces: AsyncGenerator[Piece, None]
    ) -> None:
        super().__init__(body, headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        async with aclosing(self._pieces):
            await super().__call__(scope, receive, send)
            await run_out(self._pieces)


async def run_out(pieces: AsyncGenerator[Piece, None]) -> None:
    """Let the stages come to their ends behind the last piece."""
    async for _ in pieces:
        pass


async def whole_body(pieces: AsyncGenerator[Piece, None], call: Call) -> dict[str, Any]:
    """The body of an answer that is not streamed.

    `pieces` is given on behind its last one, see `run_out`; it is closed if this fails.

    Raises:
        ServingError: if the call fails.
    """
    async with AsyncExitStack() as failing:
        await failing.enter_async_context(aclosing(pieces))
        answers = await _gathered(pieces, call)
        shape = shape_of(call)
        body = Envelope.new(shape.whole_object, call).body(
            choices=[shape.whole(one) for one in answers], usage=call.usage.as_json()
        )
        failing.pop_all()
    return body


async def _gathered(pieces: AsyncGenerator[Piece, None], call: Call) -> list[list[Piece]]:
    """All pieces of each answer that is kept, by index.

    Raises:
        ServingError: if the call fails.
    """
    found: dict[int, list[Piece]] = {}
    ends = Ends(call)
    async for piece in pieces:
        found.setdefault(piece.index, []).append(piece)
        if ends.after(piece):
            break
    if not found:
        raise EngineUnavailableError("the engine's stream ended too early")
    answers = [found[index] for index in sorted(found)]
    return answers if call.choices is None else call.choices.best(answers)


def shape_of(call: Call) -> Shape:
    """How a call is written; its first piece is there."""
    assert call.ask.shape is not None  # noqa: S101 - text endpoints have it
    # An external provider's answer has no tokens of ours.
    return call.ask.shape(call, None if call.route is None else call.route.revision.tokenizer)


async def _events(pieces: AsyncGenerator[Piece, None], call: Call) -> AsyncGenerator[bytes, None]:
    shape = shape_of(call)
    envelope = Envelope.new(shape.stream_object, call)
    opened: set[int] = set()
    ends, ended = Ends(call), False

    def so_far() -> dict[str, Any]:
        if call.ask.usage_so_far and call.choices is not None:
            return {"usage": call.choices.usage.as_json()}
        return {"usage": None} if call.ask.include_usage else {}

    def usage() -> bytes:
        if not call.ask.include_usage:
            return b""
        return event(envelope.body(choices=[], usage=call.usage.as_json()))

    async with aclosing(pieces):
        async for piece in pieces:
            said = list(shape.delta(piece))
            if shape.opening is not None and piece.index not in opened:
                opened.add(piece.index)
                said.insert(0, {"index": piece.index, **shape.opening})
            # One write to the socket for all that a piece says.
            extra = so_far()
            text = b"".join(event(envelope.body(choices=[one], **extra)) for one in said)
            if ends.after(piece):
                ended = True
                yield LastEvents(text + usage())
            elif text:
                yield text
    if not ended:
        yield LastEvents(usage())
