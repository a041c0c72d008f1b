"""Runs one call along its chain, up to the first chunk."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from enginehouse.api.call import TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Prefetched, Proceed
from enginehouse.gateway.fallback.breaker import Permit
from enginehouse.gateway.fallback.config import Condition
from enginehouse.gateway.fallback.metrics import FallbackMetrics
from enginehouse.gateway.fallback.targets import Circuits, FallbackTarget, blamed, condition_of

from enginehouse.errors import DeadlineError, EngineUnavailableError, ServingError


@dataclass(frozen=True, slots=True)
class Running:
    """An answer that has begun.

    Attributes:
        pieces: all of them, the first one included.
        stages: the block around it.
    """

    pieces: AsyncIterator[TextChunk]
    stages: AsyncExitStack


@dataclass(slots=True)
class Attempt:
    """A call to one target.

    Attributes:
        call: its own copy, so that of two attempts neither sees what the other writes.
        begun: waits for its first chunk.
    """

    target: FallbackTarget
    call: TextCall
    permit: Permit | None
    begun: asyncio.Task[Running]
    began: float = field(default_factory=time.monotonic)

    async def close(self) -> None:
        """End it, wherever it is, as if its caller had disconnected."""
        self.begun.cancel()
        await asyncio.gather(self.begun, return_exceptions=True)
        if self.begun.cancelled() or self.begun.exception() is not None:
            return
        with suppress(asyncio.CancelledError):
            async with self.begun.result().stages:
                raise asyncio.CancelledError


class FallbackRun:
    """Asks one target after the other, and of a slow one the next beside it."""

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

    async def first(self, call: TextCall, proceed: Proceed[TextCall]) -> tuple[Attempt, Running]:
        """The first attempt that gives a chunk; the others are closed.

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
                    error = attempt.begun.exception()
                    if error is None:
                        self._settle(attempt, "answered", failed=False)
                        return attempt, attempt.begun.result()
                    if not isinstance(error, ServingError):
                        self._settle(attempt, "failed", failed=None)
                        raise error
                    self._fail(attempt, error, call, proceed)
        finally:
            await self._close()

    def _start(self, why: Condition | None, call: TextCall, proceed: Proceed[TextCall]) -> bool:
        """Ask the next target that `why` is a reason for; whether there is one."""
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
        self,
        target: FallbackTarget,
        permit: Permit | None,
        call: TextCall,
        proceed: Proceed[TextCall],
    ) -> None:
        own = call.elsewhere(target.model)
        begun = asyncio.create_task(_begun(target, own, proceed))
        self._running.append(Attempt(target, own, permit, begun))

    async def _wait(self) -> list[Attempt]:
        """The attempts that have a result; empty if it is time to call another target."""
        pause_s = None
        if self._hedge_after_s is not None and self._left and len(self._running) == 1:
            pause_s = max(0.0, self._running[0].began + self._hedge_after_s - time.monotonic())
        await asyncio.wait(
            {attempt.begun for attempt in self._running},
            timeout=pause_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return [attempt for attempt in self._running if attempt.begun.done()]

    def _fail(
        self, attempt: Attempt, error: ServingError, call: TextCall, proceed: Proceed[TextCall]
    ) -> None:
        """Go on after a failure.

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


def adopt(call: TextCall, other: TextCall) -> None:
    """What an attempt has found out becomes that of the call itself."""
    call.answered, call.defaults = other.answered, other.defaults
    call.response_headers.update(other.response_headers)
    call.findings.update(other.findings)


async def _begun(target: FallbackTarget, call: TextCall, proceed: Proceed[TextCall]) -> Running:
    """An answer whose first chunk is there.

    Raises:
        ServingError: if there is none, or not in time; its stages have ended.
    """
    async with AsyncExitStack() as stages:
        try:
            async with asyncio.timeout(target.first_piece_timeout_s):
                pieces = await stages.enter_async_context(target.way(call, proceed))
                piece = await anext(pieces, None)
        except TimeoutError:
            raise DeadlineError(
                f"{target.label} gave no first piece within {target.first_piece_timeout_s:g} s"
            ) from None
        if piece is None:
            raise EngineUnavailableError(f"{target.label} ended without an answer")
        return Running(Prefetched(piece, pieces), stages.pop_all())


def _note(call: TextCall, target: FallbackTarget, outcome: str) -> None:
    call.findings.setdefault("fallback", []).append({"target": target.label, "outcome": outcome})
