"""Limits that several adapters share, counted in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.limits.scripts import RENEW, SETTLE, TAKE
from enginehouse.api.limits.store import Hold, Kind, Level, Rate, Refusal, Wanted
from enginehouse.api.limits.window import PARTS
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from enginehouse.errors import StoreError

_log = logging.getLogger(__name__)
_CONNECTIONS = 32
_BATCH = 256
#: Renewals in one lease: some may fail.
_RENEWALS = 3
_Step = tuple[str, str, Sequence[Any]]
_ZREM = "ZREM"


class RedisStore:
    """One step of Redis a `take`; what is given back goes there in the background.

    A place is leased: it is renewed as long as this process lives and holds it.
    """

    def __init__(
        self, url: str, *, timeout_s: float, lease_s: float, failed: Callable[[], None]
    ) -> None:
        """Prepare the client, in the running event loop; nothing is asked yet.

        Args:
            failed: is told of each write in the background that failed.

        Raises:
            ValueError: if the URL is none of Redis.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=pool)
        self._take = self._redis.register_script(TAKE)
        self._timeout_s = timeout_s
        self._lease_s = lease_s
        self._failed = failed
        self._steps: asyncio.Queue[_Step] = asyncio.Queue()
        self._held: dict[str, set[str]] = {}
        self._tasks = [
            asyncio.create_task(self._write(), name="limits-write"),
            asyncio.create_task(self._renew(), name="limits-renew"),
        ]

    async def take(self, wanted: Wanted) -> Hold | Refusal:
        """See `LimitStore`; a call that Redis does not answer in time fails."""
        keys = [rate.key for rate in wanted.rates] + [places.key for places in wanted.places]
        arguments: list[int | str] = [len(wanted.rates), wanted.holder, self._lease_ms]
        for rate in wanted.rates:
            arguments += [rate.capacity, part_ms(rate), rate.amount]
        arguments += [places.capacity for places in wanted.places]
        answered = False
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._take(keys=keys, args=arguments)
            answered = True
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"the shared limits' Redis does not answer: {error!r}") from error
        finally:
            if not answered:
                # It may have been done all the same.
                self.release(wanted)
        return self._outcome(wanted, [int(value) for value in found])

    def adopt(self, wanted: Wanted) -> None:
        """Hold places from the next renewal on, whether they are free or not."""
        for places in wanted.places:
            self._held.setdefault(places.key, set()).add(wanted.holder)

    def release(self, wanted: Wanted) -> None:
        """Give places back, soon."""
        for places in wanted.places:
            holders = self._held.get(places.key, set())
            holders.discard(wanted.holder)
            if not holders:
                self._held.pop(places.key, None)
            self._steps.put_nowait((_ZREM, places.key, [wanted.holder]))

    def settle(self, rate: Rate, part: int, difference: int) -> None:
        """Add to what was taken, or give some of it back, soon."""
        if difference:
            self._steps.put_nowait((SETTLE, rate.key, [part_ms(rate), part, difference]))

    async def answers(self) -> bool:
        """Whether Redis answers in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.eval("return 1", 0)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def drained(self) -> None:
        """Wait until everything that is on its way was tried."""
        await self._steps.join()

    async def close(self) -> None:
        """See `LimitStore`."""
        for places, holders in self._held.items():
            self._steps.put_nowait((_ZREM, places, list(holders)))
        self._held = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 * self._timeout_s):
                await self.drained()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    @property
    def _lease_ms(self) -> int:
        return math.ceil(self._lease_s * 1000)

    def _outcome(self, wanted: Wanted, found: list[int]) -> Hold | Refusal:
        refused, retry_ms, *states = found
        rows = [states[3 * i : 3 * i + 3] for i in range(len(wanted.rates))]
        levels = tuple(
            Level(rate.kind, rate.capacity, remaining, reset_ms / 1000)
            for rate, (_, remaining, reset_ms) in zip(wanted.rates, rows, strict=True)
        )
        if not refused:
            self.adopt(wanted)
            return RedisHold(self, wanted, tuple(row[0] for row in rows), levels)
        if refused <= len(wanted.rates):
            rate = wanted.rates[refused - 1]
            return Refusal(rate.kind, rate.capacity, rate.amount, retry_ms / 1000, levels)
        places = wanted.places[refused - 1 - len(wanted.rates)]
        return Refusal(Kind.CONCURRENT, places.capacity, 1, retry_ms / 1000, levels)

    async def _write(self) -> None:
        while True:
            steps = [await self._steps.get()]
            while len(steps) < _BATCH and not self._steps.empty():
                steps.append(self._steps.get_nowait())
            await self._send(steps)
            for _ in steps:
                self._steps.task_done()

    async def _send(self, steps: Sequence[_Step]) -> None:
        """Write down a batch; one that fails is lost.

        Counts then stay too high until their window is over, places until their lease is.
        """
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for what, key, arguments in steps:
                        if what == _ZREM:
                            pipe.zrem(key, *arguments)
                        else:
                            pipe.eval(what, 1, key, *arguments)
                    await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed()
            _log.debug("%d steps of shared limits were lost: %r", len(steps), error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS)
            # They go the same way as releases, so that none is renewed after it was released.
            for key, holders in self._held.items():
                self._steps.put_nowait((RENEW, key, [self._lease_ms, *holders]))


def part_ms(rate: Rate) -> int:
    """Length of a part of a rate's window, in milliseconds."""
    return math.ceil(rate.window_s * 1000 / PARTS)


@dataclass(slots=True)
class RedisHold:
    """See `Hold`."""

    store: RedisStore
    wanted: Wanted
    parts: Sequence[int]
    levels: Sequence[Level]
    _settled: dict[Kind, int] = field(default_factory=dict)

    def settle(self, kind: Kind, actual: int) -> None:
        """See `Hold`."""
        for rate, part in zip(self.wanted.rates, self.parts, strict=True):
            if rate.kind is kind:
                self.store.settle(rate, part, actual - self._settled.get(kind, rate.amount))
        self._settled[kind] = actual

    def release(self) -> None:
        """See `Hold`."""
        self.store.release(self.wanted)
