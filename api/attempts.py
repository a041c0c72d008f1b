"""The innermost stages of an endpoint that generates text: route, prepare, run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from enginehouse.api.call import Call, Expected, Proceed, ServedBy
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import Generation, Piece
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.routing import Route, Router
from enginehouse.gateway.samples.account import (
    OK,
    TENANT_HEADER,
    UNEXPECTED,
    Account,
    RequestOrigin,
    code_of,
)
from enginehouse.gateway.samples.ring import CLIENT_GONE, SampleRing
from enginehouse.gateway.shadow.aside import Aside, ObservedRequest

from enginehouse.errors import EnginehouseError, EngineUnavailableError, ModelNotFoundError


@dataclass(frozen=True, slots=True)
class Routing:
    """Finds the version that answers."""

    router: Router
    name: str = "routing"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`."""
        take(call, await self.router.route(call.model, call.keys))
        async with aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                yield piece


def take(call: Call, route: Route) -> None:
    """Have a call answered by a route."""
    call.route = route
    revision = route.revision
    call.served_by = ServedBy(revision.target.model, revision.version, revision.fingerprint)
    call.response_headers[VERSION_HEADER] = str(revision.version)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Keeps the books of each attempt; one that fails before its first piece has a second.

    That goes to another version, if the failure lies with the first one and the caller has not
    pinned it.
    """

    router: Router
    metrics: ApiMetrics
    samples: SampleRing
    aside: Aside
    name: str = "attempts"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`."""
        began = False
        try:
            async with aclosing(self._attempt(call, proceed)) as pieces:
                async for piece in pieces:
                    began = True
                    yield piece
            return
        except (EngineUnavailableError, ModelNotFoundError):
            assert call.route is not None  # noqa: S101 - `Routing` stands before
            other = None if began else self.router.elsewhere(call.route)
            if other is None:
                raise
        take(call, other)
        async with aclosing(self._attempt(call, proceed)) as pieces:
            async for piece in pieces:
                yield piece

    async def _attempt(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        assert call.route is not None  # noqa: S101 - `Routing` stands before
        account = Account(_origin(call, call.route), self.metrics, self.samples, call.id)
        account.follower = self.aside.begin(call.route, call.id, _asked(call))
        code, begun = CLIENT_GONE, False
        try:
            await _prepare(call, call.route)
            assert call.choices is not None  # noqa: S101 - it is prepared
            account.generations = call.choices.generations
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    if not begun:
                        begun = True
                        _name_engine(call)
                    account.see(piece)
                    yield piece
            code = OK
        except GeneratorExit:
            if "blocked_by" in call.notes.get("content", {}):
                # A filter has ended every answer: the caller is still there.
                code = OK
            raise
        except EnginehouseError as error:
            code = code_of(error)
            raise
        except Exception:
            code = UNEXPECTED
            raise
        finally:
            if call.choices is not None:
                call.usage = call.choices.usage
            account.close(code)


def _name_engine(call: Call) -> None:
    """`system_fingerprint` names the engine that answers: what decides its numbers."""
    assert call.choices is not None  # noqa: S101 - it is prepared
    engine = next((one.identity for one in call.choices.generations if one.identity), "")
    if engine and call.served_by is not None and call.served_by.fingerprint is not None:
        fingerprint = f"{call.served_by.fingerprint}-{engine}"
        call.served_by = replace(call.served_by, fingerprint=fingerprint)


async def _prepare(call: Call, route: Route) -> None:
    assert call.ask.prepare is not None  # noqa: S101 - text endpoints have it
    choices = await call.ask.prepare(call, route)
    call.choices = choices
    prompts = choices.usage.prompt_tokens
    wanted = [generation.most_tokens for generation in choices.generations]
    bounded = all(generation.prompt.max_tokens is not None for generation in choices.generations)
    call.expected = Expected(prompts, sum(wanted), bounded)


def run_engine(call: Call) -> AsyncGenerator[Piece, None]:
    """The last of the chain: the engine."""
    assert call.choices is not None  # noqa: S101 - `Attempts` stands before
    return call.choices.pieces(call.remaining_s())


def _asked(call: Call) -> ObservedRequest:
    async def start(route: Route, request_id: str) -> Generation:
        assert call.ask.prepare is not None  # noqa: S101 - text endpoints have it
        choices = await call.ask.prepare(call, route)
        return choices.renamed(request_id).generations[0]

    def ids() -> list[int]:
        return [] if call.choices is None else list(call.choices.generations[0].prompt.ids)

    return ObservedRequest(tuple(call.messages), ids, start)


def tenant_of(call: Call) -> str | None:
    """The key's tenant; where keys are off, the one that a trusted caller names."""
    return call.caller.tenant if call.caller.key_id else call.headers.get(TENANT_HEADER)


def _origin(call: Call, route: Route) -> RequestOrigin:
    return RequestOrigin(
        model=route.revision.target.model,
        version=route.revision.version,
        endpoint=call.ask.endpoint,
        prefix=call.ask.prefix,
        tenant=tenant_of(call),
        pinned=route.pinned,
        rollout=route.rollout,
        generation=route.generation,
        experiment=None if route.treatment is None else route.treatment.experiment,
        arm=None if route.treatment is None else route.treatment.arm.name,
    )
