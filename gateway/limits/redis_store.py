"""Rate and concurrency limits shared by several adapters, counted in Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from enginehouse.gateway.limits.redis_steps import RENEWALS, ZREM, RedisSteps
from enginehouse.gateway.limits.scripts import RENEW, SETTLE, TAKE
from enginehouse.gateway.limits.store import (
    LimitClaim,
    LimitHold,
    LimitKind,
    LimitRefusal,
    LimitStatus,
    RateLimit,
)
from enginehouse.gateway.limits.window import PARTS

from enginehouse.supervision import start_loop


class RedisLimitStore:
    """Takes a claim in one atomic step of Redis; what is released is written in the background.

    A concurrency place is a lease, which this process renews while it holds the place.

    Attributes:
        steps: the connection, also for other users of the same Redis; closed together with this.
    """

    def __init__(
        self, url: str, *, timeout_s: float, lease_s: float, failed: Callable[[], None]
    ) -> None:
        """Create the client, in the running event loop. Nothing is sent yet.

        Args:
            failed: called for each background write that failed.

        Raises:
            ValueError: if the URL is not a Redis URL.
        """
        self.steps = RedisSteps(url, timeout_s=timeout_s, failed=failed)
        self._take = self.steps.script(TAKE)
        self._lease_s = lease_s
        self._held: dict[str, set[str]] = {}
        self._renewing = start_loop("limits-renew", self._renew)

    async def take(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        """See `LimitStore`; a call that Redis does not answer in time fails."""
        keys = [rate.key for rate in wanted.rates] + [places.key for places in wanted.places]
        arguments: list[int | str] = [len(wanted.rates), wanted.holder, self._lease_ms]
        for rate in wanted.rates:
            arguments += [rate.capacity, part_ms(rate), rate.amount]
        arguments += [places.capacity for places in wanted.places]
        answered = False
        try:
            found = await self.steps.ask(self._take, keys, arguments)
            answered = True
        finally:
            if not answered:
                # Redis may have run the script although no answer arrived.
                self.release(wanted)
        return self._outcome(wanted, found)

    def adopt(self, wanted: LimitClaim) -> None:
        """Hold places from the next renewal on, whether they are free or not."""
        for places in wanted.places:
            self._held.setdefault(places.key, set()).add(wanted.holder)

    def release(self, wanted: LimitClaim) -> None:
        """Queue the release of a claim's places."""
        for places in wanted.places:
            holders = self._held.get(places.key, set())
            holders.discard(wanted.holder)
            if not holders:
                self._held.pop(places.key, None)
            self.steps.later(ZREM, places.key, [wanted.holder])

    def settle(self, rate: RateLimit, part: int, difference: int) -> None:
        """Queue a change of the amount that was taken; a negative difference returns part of it."""
        if difference:
            self.steps.later(SETTLE, rate.key, [part_ms(rate), part, difference])

    async def close(self) -> None:
        """See `LimitStore`."""
        for places, holders in self._held.items():
            self.steps.later(ZREM, places, list(holders))
        self._held = {}
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        await self.steps.close()

    @property
    def _lease_ms(self) -> int:
        return math.ceil(self._lease_s * 1000)

    def _outcome(self, wanted: LimitClaim, found: list[int]) -> LimitHold | LimitRefusal:
        refused, retry_ms, *states = found
        rows = [states[3 * i : 3 * i + 3] for i in range(len(wanted.rates))]
        levels = tuple(
            LimitStatus(rate.kind, rate.capacity, remaining, reset_ms / 1000)
            for rate, (_, remaining, reset_ms) in zip(wanted.rates, rows, strict=True)
        )
        if not refused:
            self.adopt(wanted)
            return RedisLimitHold(self, wanted, tuple(row[0] for row in rows), levels)
        if refused <= len(wanted.rates):
            rate = wanted.rates[refused - 1]
            return LimitRefusal(rate.kind, rate.capacity, rate.amount, retry_ms / 1000, levels)
        places = wanted.places[refused - 1 - len(wanted.rates)]
        return LimitRefusal(LimitKind.CONCURRENT, places.capacity, 1, retry_ms / 1000, levels)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            # Renewals use the same queue as releases, so that no place is renewed after its
            # release.
            for key, holders in self._held.items():
                self.steps.later(RENEW, key, [self._lease_ms, *holders])


def part_ms(rate: RateLimit) -> int:
    """Length of one part of a rate's window, in milliseconds."""
    return math.ceil(rate.window_s * 1000 / PARTS)


@dataclass(slots=True)
class RedisLimitHold:
    """See `LimitHold`."""

    store: RedisLimitStore
    wanted: LimitClaim
    parts: Sequence[int]
    levels: Sequence[LimitStatus]
    _settled: dict[LimitKind, int] = field(default_factory=dict)

    def settle(self, kind: LimitKind, actual: int) -> None:
        """See `LimitHold`."""
        for rate, part in zip(self.wanted.rates, self.parts, strict=True):
            if rate.kind is kind:
                self.store.settle(rate, part, actual - self._settled.get(kind, rate.amount))
        self._settled[kind] = actual

    def release(self) -> None:
        """See `LimitHold`."""
        self.store.release(self.wanted)
