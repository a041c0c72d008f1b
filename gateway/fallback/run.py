"""Runs one call along its chain, up to the first chunk."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.fallback.breaker import Permit
from enginehouse.gateway.fallback.config import Condition
from enginehouse.gateway.fallback.metrics import FallbackMetrics
from enginehouse.gateway.fallback.targets import Circuits, FallbackTarget, blamed, condition_of

from enginehouse.errors import DeadlineError, EngineUnavailableError, ServingError


@dataclass(slots=True)
class Attempt:
    """A call to one target.

    Attributes:
        call: a copy of the call, so that concurrent attempts do not see each other's changes.
        first: waits for the first chunk.
    """

    target: FallbackTarget
    call: Call
    permit: Permit | None
    pieces: AsyncGenerator[Piece, None]
    first: asyncio.Task[Piece]
    began: float = field(default_factory=time.monotonic)

    async def close(self) -> None:
        """Cancel it in whatever state it is."""
        self.first.cancel()
        await asyncio.gather(self.first, return_exceptions=True)
        await self.pieces.aclose()


class FallbackRun:
    """Tries one target after the other; while one is slow, the next one is called concurrently."""

    def __init__(
        self,
        name: str,
        targets: Sequence[FallbackTarget],
        circuits: Circuits,
        metrics: FallbackMetrics,
        *,
        hedge_after_s: float | None,
    ) -> None:
        """`name` is the chain's name; the first target is the requested model."""
        self._name = name
        self._wanted = targets[0]
        self._left = deque(targets)
        self._circuits = circuits
        self._metrics = metrics
        self._hedge_after_s = hedge_after_s
        self._running: list[Attempt] = []
        self._failed: list[tuple[Attempt, ServingError]] = []

    async def first(self, call: Call, proceed: Proceed) -> tuple[Attempt, Piece]:
        """The attempt that first yields a chunk, and the chunk; all other attempts are closed.

        Raises:
            ServingError: the error of the first attempt, if none yields a chunk.
        """
        try:
            if not self._start(None, call, proceed):
                # All circuits are open. Calling none would be a certain failure, so the first
                # target is called.
                self._begin(self._wanted, None, call, proceed)
            while True:
                done = await self._wait()
                if not done:
                    if self._start(Condition.OUTAGE, call, proceed):
                        self._metrics.hedges.labels(self._name).inc()
                    else:
                        self._hedge_after_s = None
                for attempt in done:
                    self._running.remove(attempt)
                    error = attempt.first.exception()
                    if error is None:
                        self._settle(attempt, "answered", failed=False)
                        return attempt, attempt.first.result()
                    if not isinstance(error, ServingError):
                        self._settle(attempt, "failed", failed=None)
                        raise error
                    self._fail(attempt, error, call, proceed)
        finally:
            await self._close()

    def _start(self, why: Condition | None, call: Call, proceed: Proceed) -> bool:
        """Call the next target that `why` allows; returns whether there is one."""
        while self._left:
            target = self._left.popleft()
            if why is not None and why not in target.on:
                continue
            permit = self._circuits.permit(target)
            if permit is not None:
                self._begin(target, permit, call, proceed)
                return True
            self._metrics.attempts.labels(self._name, target.label, "skipped").inc()
            _note(call, target, "circuit_open")
            why = why or Condition.OUTAGE
        return False

    def _begin(
        self, target: FallbackTarget, permit: Permit | None, call: Call, proceed: Proceed
    ) -> None:
        own = replace(
            call.elsewhere(target.model),
            response_headers=dict(call.response_headers),
            notes=dict(call.notes),
        )
        pieces = target.pieces(own, proceed)
        first = asyncio.create_task(_first(pieces, target))
        self._running.append(Attempt(target, own, permit, pieces, first))

    async def _wait(self) -> list[Attempt]:
        """The attempts that have a result; empty if it is time to call another target."""
        pause_s = None
        if self._hedge_after_s is not None and self._left and len(self._running) == 1:
            pause_s = max(0.0, self._running[0].began + self._hedge_after_s - time.monotonic())
        await asyncio.wait(
            {attempt.first for attempt in self._running},
            timeout=pause_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return [attempt for attempt in self._running if attempt.first.done()]

    def _fail(self, attempt: Attempt, error: ServingError, call: Call, proceed: Proceed) -> None:
        """Try the next target after a failure.

        Raises:
            ServingError: if there is no further target.
        """
        self._settle(attempt, "failed", failed=blamed(attempt.target, error, call))
        self._failed.append((attempt, error))
        _note(call, attempt.target, error.code)
        if self._running:
            return
        why = condition_of(error, call)
        if why is None or not self._start(why, call, proceed):
            earliest, first_error = min(self._failed, key=lambda item: item[0].began)
            adopt(call, earliest.call)
            raise first_error

    def _settle(self, attempt: Attempt, outcome: str, *, failed: bool | None) -> None:
        self._circuits.settle(attempt.target, attempt.permit, failed=failed)
        self._metrics.attempts.labels(self._name, attempt.target.label, outcome).inc()

    async def _close(self) -> None:
        for attempt in self._running:
            self._settle(attempt, "dropped", failed=None)
        await asyncio.gather(*(attempt.close() for attempt in self._running))


def adopt(call: Call, other: Call) -> None:
    """Copy the results of an attempt to the original call."""
    call.route, call.choices, call.expected = other.route, other.choices, other.expected
    call.served_by, call.usage = other.served_by, other.usage
    call.response_headers.update(other.response_headers)
    call.notes.update(other.notes)


async def _first(pieces: AsyncGenerator[Piece, None], target: FallbackTarget) -> Piece:
    """The first chunk of a target.

    Raises:
        ServingError: if there is none, or not in time.
    """
    try:
        async with asyncio.timeout(target.first_piece_timeout_s):
            piece = await anext(pieces, None)
    except TimeoutError:
        raise DeadlineError(
            f"{target.label} sent no first chunk within {target.first_piece_timeout_s:g} s"
        ) from None
    if piece is None:
        raise EngineUnavailableError(f"{target.label} ended without an answer")
    return piece


def _note(call: Call, target: FallbackTarget, outcome: str) -> None:
    call.notes.setdefault("fallback", []).append({"target": target.label, "outcome": outcome})
