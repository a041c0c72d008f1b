"""From a validated request to a response: what chat and completions share."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from enginehouse.api.account import OK, TENANT_HEADER, UNEXPECTED, Account, Origin, code_of
from enginehouse.api.aside import Asked
from enginehouse.api.choices import Choices
from enginehouse.api.errors import name_version
from enginehouse.api.generation import Generation, Piece
from enginehouse.api.routing import Keys, Route
from enginehouse.api.samples import CLIENT_GONE
from enginehouse.api.state import ApiState
from enginehouse.api.streaming import EventStream, event, primed, until_disconnect
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enginehouse.errors import EnginehouseError, EngineUnavailableError, ModelNotFoundError


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


@dataclass(frozen=True, slots=True)
class Ask:
    """A validated request of which it is not known yet who answers.

    Attributes:
        name: the field `model`.
        prefix: of the response's id.
        prepare: a route and the response's id → what runs, and how it is written. It may be
            called twice: tokenizer and template are those of the version that answers.
    """

    name: str
    keys: Keys
    endpoint: str
    prefix: str
    stream: bool
    include_usage: bool
    prepare: Callable[[Route, str], Awaitable[tuple[Choices, Shape]]]


async def answer(request: Request, state: ApiState, ask: Ask) -> Response:
    """Route a request, run it and answer, streaming or whole.

    One that fails before the first byte for a reason that lies with its version is answered by
    another, if the caller has not pinned it.

    Raises:
        EnginehouseError: if it fails before the first byte.
    """
    route = await state.router.route(ask.name, ask.keys)
    try:
        return await _attempt(request, state, ask, route)
    except (EngineUnavailableError, ModelNotFoundError):
        other = state.router.elsewhere(route)
        if other is None:
            raise
    return await _attempt(request, state, ask, other)


async def _attempt(request: Request, state: ApiState, ask: Ask, route: Route) -> Response:
    account = Account(_origin(request, ask, route), state.metrics, state.samples)
    account.follower = state.aside.begin(route, account.request_id, _asked(ask, account))
    headers = name_version(request, route.revision.version)
    try:
        choices, shape = await ask.prepare(route, account.request_id)
        account.generations = choices.generations
        if ask.stream:
            pieces = await until_disconnect(request.receive, primed(choices.pieces()))
            events = _events(pieces, choices, shape, account, include_usage=ask.include_usage)
            return EventStream(events, headers)
        gathered = await until_disconnect(request.receive, choices.gather())
    except EnginehouseError as error:
        account.close(code_of(error))
        raise
    except Exception:
        account.close(UNEXPECTED)
        raise
    for pieces_of_one in gathered:
        for piece in pieces_of_one:
            account.see(piece)
    account.close(OK)
    body = Envelope.new(shape.whole_object, choices).body(
        choices=[shape.whole(answer) for answer in gathered], usage=choices.usage.as_json()
    )
    return JSONResponse(body, headers=headers)


async def _events(
    pieces: AsyncGenerator[Piece, None],
    choices: Choices,
    shape: Shape,
    account: Account,
    *,
    include_usage: bool,
) -> AsyncGenerator[bytes, None]:
    envelope = Envelope.new(shape.stream_object, choices)
    extra: dict[str, Any] = {"usage": None} if include_usage else {}
    code = CLIENT_GONE
    try:
        async with aclosing(pieces):
            for index in range(choices.kept) if shape.opening is not None else ():
                opening = {"index": index, **(shape.opening or {})}
                yield event(envelope.body(choices=[opening], **extra))
            async for piece in pieces:
                account.see(piece)
                yield event(envelope.body(choices=[shape.delta(piece)], **extra))
        if include_usage:
            yield event(envelope.body(choices=[], usage=choices.usage.as_json()))
        code = OK
    except EnginehouseError as error:
        code = code_of(error)
        raise
    except Exception:
        code = UNEXPECTED
        raise
    finally:
        account.close(code)


def _asked(ask: Ask, account: Account) -> Asked:
    async def start(route: Route, request_id: str) -> Generation:
        choices, _ = await ask.prepare(route, request_id)
        return choices.generations[0]

    return Asked(ask.keys.messages, lambda: account.generations[0].prompt.ids, start)


def _origin(request: Request, ask: Ask, route: Route) -> Origin:
    return Origin(
        model=route.revision.target.model,
        version=route.revision.version,
        endpoint=ask.endpoint,
        prefix=ask.prefix,
        tenant=request.headers.get(TENANT_HEADER),
        pinned=route.pinned,
        rollout=route.rollout,
        generation=route.generation,
        experiment=None if route.treatment is None else route.treatment.experiment,
        arm=None if route.treatment is None else route.treatment.arm.name,
    )
