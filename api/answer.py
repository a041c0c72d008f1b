"""From a validated request to a response: what chat and completions share."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from enginehouse.api.errors import status_of
from enginehouse.api.generation import Generation, Piece
from enginehouse.api.streaming import EventStream, event, primed, until_disconnect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enginehouse.errors import EnginehouseError


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every body of one answer repeats."""

    id: str
    object: str
    created: int
    model: str
    fingerprint: str

    @classmethod
    def new(cls, kind: str, generation: Generation) -> Envelope:
        """The envelope of a generation's answer; its id is the request's on the engine too."""
        return cls(
            id=generation.request_id,
            object=kind,
            created=int(time.time()),
            model=generation.revision.target.model,
            fingerprint=generation.revision.fingerprint,
        )

    def body(self, **rest: Any) -> dict[str, Any]:
        """A body in this envelope."""
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            **rest,
        }


@dataclass(frozen=True, slots=True)
class Shape:
    """How an endpoint writes choices.

    Attributes:
        opening: the first event's choice before any text, or None.
        delta: a piece → the choice of an event.
        whole: all pieces → the choice of a whole answer.
    """

    stream_object: str
    whole_object: str
    opening: dict[str, Any] | None
    delta: Callable[[Piece], dict[str, Any]]
    whole: Callable[[list[Piece]], dict[str, Any]]


def new_id(prefix: str) -> str:
    """An id in OpenAI's form."""
    return f"{prefix}-{uuid.uuid4().hex}"


async def answer(
    request: Request,
    generation: Generation,
    shape: Shape,
    endpoint: str,
    *,
    stream: bool,
    include_usage: bool,
) -> Response:
    """Run a generation and answer it, streaming or whole.

    Raises:
        EnginehouseError: if it fails before the first byte.
    """
    count = _Counter(generation, endpoint)
    headers = {"x-enginehouse-version": str(generation.revision.target.version)}
    try:
        if stream:
            envelope = Envelope.new(shape.stream_object, generation)
            pieces = await until_disconnect(request.receive, primed(generation.pieces()))
            events = _events(pieces, generation, envelope, shape, count, include_usage)
            return EventStream(events, headers)
        envelope = Envelope.new(shape.whole_object, generation)
        gathered = await until_disconnect(request.receive, _gather(generation))
    except EnginehouseError as error:
        count(str(status_of(error)[0].value))
        raise
    count("200")
    choice = shape.whole(gathered)
    body = envelope.body(choices=[choice], usage=generation.usage.as_json())
    return JSONResponse(body, headers=headers)


async def _gather(generation: Generation) -> list[Piece]:
    return [piece async for piece in generation.pieces()]


async def _events(
    pieces: AsyncGenerator[Piece, None],
    generation: Generation,
    envelope: Envelope,
    shape: Shape,
    count: _Counter,
    include_usage: bool,  # noqa: FBT001 - positional in one call
) -> AsyncGenerator[bytes, None]:
    extra: dict[str, Any] = {"usage": None} if include_usage else {}
    outcome = "499"  # the client went; nginx's number, as HTTP has none
    try:
        async with aclosing(pieces):
            if shape.opening is not None:
                yield event(envelope.body(choices=[shape.opening], **extra))
            async for piece in pieces:
                yield event(envelope.body(choices=[shape.delta(piece)], **extra))
        if include_usage:
            yield event(envelope.body(choices=[], usage=generation.usage.as_json()))
        outcome = "200"
    except EnginehouseError as error:
        outcome = str(status_of(error)[0].value)
        raise
    finally:
        count(outcome)


class _Counter:
    """Counts the request's outcome."""

    def __init__(self, generation: Generation, endpoint: str) -> None:
        target = generation.revision.target
        self._labels = (target.model, str(target.version), endpoint)
        self._requests = generation.state.metrics.requests

    def __call__(self, code: str) -> None:
        self._requests.labels(*self._labels, code).inc()
