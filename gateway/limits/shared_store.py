"""Limits in Redis, with a fallback to local counting while Redis is unreachable."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from enginehouse.gateway.limits.memory import MemoryLimitHold, MemoryLimitStore
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.redis_store import RedisLimitStore
from enginehouse.gateway.limits.store import (
    LimitClaim,
    LimitHold,
    LimitKind,
    LimitRefusal,
    LimitStatus,
)

from enginehouse.errors import StoreError
from enginehouse.supervision import start_loop

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Degradation:
    """What to do while Redis is unreachable; see `LimitsConfig`."""

    refuse: bool
    adapters: int
    retry_s: float


class SharedLimitStore:
    """Counts in Redis and also in memory, so that the adapter knows its own part.

    While Redis is unreachable the adapter enforces its part of each limit. It continues to do so
    for
    one window after Redis is back, since Redis lacks the amounts taken in between.
    """

    def __init__(
        self,
        shared: RedisLimitStore,
        degradation: Degradation,
        metrics: LimitMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._local = MemoryLimitStore(clock)
        self._degradation = degradation
        self._metrics = metrics
        self._clock = clock
        self._away = False
        self._looking: asyncio.Task[None] | None = None
        self._longest_s = 0.0
        self._local_until = -math.inf

    async def take(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        """See `LimitStore`."""
        self._longest_s = max([self._longest_s, *(rate.window_s for rate in wanted.rates)])
        if self._away:
            return self._alone(wanted)
        local = self._own_part(wanted)
        if isinstance(local, LimitRefusal):
            return local
        shared: LimitHold | LimitRefusal | None = None
        try:
            shared = await self._shared.take(wanted)
        except StoreError as error:
            self._failed(error)
        finally:
            if shared is None or isinstance(shared, LimitRefusal):
                local.undo()
        if shared is None:
            return self._alone(wanted)
        return shared if isinstance(shared, LimitRefusal) else _Both(local, shared)

    async def close(self) -> None:
        """See `LimitStore`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._shared.close()

    def _own_part(self, wanted: LimitClaim) -> MemoryLimitHold | LimitRefusal:
        """Count in memory too; rejects calls while Redis lacks amounts of an outage."""
        part = self._part_of(wanted)
        if self._clock() < self._local_until:
            return self._local.take_now(part)
        return self._local.note(part)

    def _alone(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        if self._degradation.refuse:
            raise StoreError(
                "limits cannot be checked, since their Redis does not answer: try again later"
            ).told(None)
        found = self._local.take_now(self._part_of(wanted))
        if isinstance(found, LimitRefusal):
            return found
        self._shared.adopt(wanted)
        return _Alone(found, self._shared, wanted)

    def _part_of(self, wanted: LimitClaim) -> LimitClaim:
        count = self._degradation.adapters
        return replace(
            wanted,
            rates=[replace(r, capacity=max(1, r.capacity // count)) for r in wanted.rates],
            places=[replace(p, capacity=max(1, p.capacity // count)) for p in wanted.places],
        )

    def _failed(self, error: StoreError) -> None:
        self._metrics.store_failures.inc()
        if self._away:
            return
        self._away = True
        self._metrics.store_away.set(1)
        part = f"this adapter enforces 1/{self._degradation.adapters} of each"
        how = "calls that have limits are refused" if self._degradation.refuse else part
        _log.warning("%s; until it does, %s", error, how)
        self._looking = start_loop("limits-look", self._look)

    async def _look(self) -> None:
        """Poll Redis until it answers; no call waits for this."""
        while True:
            if await self._shared.steps.answers():
                break
            await asyncio.sleep(self._degradation.retry_s)
        self._away = False
        self._local_until = self._clock() + self._longest_s
        self._metrics.store_away.set(0)
        _log.warning("the shared limits' Redis answers again: limits are shared")


@dataclass(frozen=True, slots=True)
class _Both:
    """A claim taken in Redis and counted in memory."""

    local: MemoryLimitHold
    shared: LimitHold

    @property
    def levels(self) -> Sequence[LimitStatus]:
        return self.shared.levels

    def settle(self, kind: LimitKind, actual: int) -> None:
        self.local.settle(kind, actual)
        self.shared.settle(kind, actual)

    def release(self) -> None:
        self.local.release()
        self.shared.release()


@dataclass(frozen=True, slots=True)
class _Alone:
    """A claim taken in memory. Its places are written to Redis when Redis is back."""

    local: MemoryLimitHold
    shared: RedisLimitStore
    wanted: LimitClaim

    @property
    def levels(self) -> Sequence[LimitStatus]:
        return self.local.levels

    def settle(self, kind: LimitKind, actual: int) -> None:
        self.local.settle(kind, actual)

    def release(self) -> None:
        self.local.release()
        self.shared.release(self.wanted)
