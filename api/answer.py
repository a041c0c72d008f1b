"""From a validated request to a response: what chat and completions share."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from enginehouse.api.choices import Choices
from enginehouse.api.errors import status_of
from enginehouse.api.generation import Piece
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
    def new(cls, kind: str, choices: Choices) -> Envelope:
        """The envelope of an answer; the request's ids on the engine begin with its id."""
        return cls(
            id=choices.id,
            object=kind,
            created=int(time.time()),
            model=choices.revision.target.model,
            fingerprint=choices.revision.fingerprint,
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
        opening: a choice's first event before any text, without its index; or None.
        delta: a piece → the choice of an event.
        whole: all pieces → the choice of a whole answer.
    """

    stream_object: str
    whole_object: str
    opening: dict[str, Any] | None
    delta: Callable[[Piece], dict[str, Any]]
    whole: Callable[[list[Piece]], dict[str, Any]]


async def answer(
    request: Request,
    choices: Choices,
    shape: Shape,
    endpoint: str,
    *,
    stream: bool,
    include_usage: bool,
) -> Response:
    """Run generations and answer with them, streaming or whole.

    Raises:
        EnginehouseError: if it fails before the first byte.
    """
    count = _Counter(choices, endpoint)
    headers = {"x-enginehouse-version": str(choices.revision.target.version)}
    try:
        if stream:
            envelope = Envelope.new(shape.stream_object, choices)
            pieces = await until_disconnect(request.receive, primed(choices.pieces()))
            events = _events(pieces, choices, envelope, shape, count, include_usage)
            return EventStream(events, headers)
        envelope = Envelope.new(shape.whole_object, choices)
        gathered = await until_disconnect(request.receive, choices.gather())
    except EnginehouseError as error:
        count(str(status_of(error)[0].value))
        raise
    count("200")
    body = envelope.body(
        choices=[shape.whole(answer) for answer in gathered], usage=choices.usage.as_json()
    )
    return JSONResponse(body, headers=headers)


async def _events(
    pieces: AsyncGenerator[Piece, None],
    choices: Choices,
    envelope: Envelope,
    shape: Shape,
    count: _Counter,
    include_usage: bool,  # noqa: FBT001 - positional in one call
) -> AsyncGenerator[bytes, None]:
    extra: dict[str, Any] = {"usage": None} if include_usage else {}
    outcome = "499"  # the client went; nginx's number, as HTTP has none
    try:
        async with aclosing(pieces):
            for index in range(choices.kept) if shape.opening is not None else ():
                opening = {"index": index, **(shape.opening or {})}
                yield event(envelope.body(choices=[opening], **extra))
            async for piece in pieces:
                yield event(envelope.body(choices=[shape.delta(piece)], **extra))
        if include_usage:
            yield event(envelope.body(choices=[], usage=choices.usage.as_json()))
        outcome = "200"
    except EnginehouseError as error:
        outcome = str(status_of(error)[0].value)
        raise
    finally:
        count(outcome)


class _Counter:
    """Counts the request's outcome."""

    def __init__(self, choices: Choices, endpoint: str) -> None:
        target = choices.revision.target
        self._labels = (target.model, str(target.version), endpoint)
        self._requests = choices.state.metrics.requests

    def __call__(self, code: str) -> None:
        self._requests.labels(*self._labels, code).inc()
