"""Cached answers in Redis, shared by all adapters.

Every call to Redis has a short timeout, and a failure of Redis never fails a request: while Redis
is unreachable every lookup is a miss.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from enginehouse.gateway.cache.keys import CacheKey
from enginehouse.gateway.cache.metrics import CacheMetrics
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - Redis' own

from enginehouse.supervision import start_job

_log = logging.getLogger(__name__)
_PREFIX = "enginehouse:cache:"
#: After a failure Redis is not asked for this many seconds, so that not every request waits for a
#: Redis that hangs.
_REST_S = 1.0
_MOST_WRITES = 256
_SCAN_COUNT = 500


class RedisCacheStore:
    """Entries with an expiry; see `CacheStore`."""

    def __init__(
        self,
        url: str,
        metrics: CacheMetrics,
        *,
        ttl_s: float,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the client; nothing is sent before the first call.

        Args:
            url: ``redis://``, ``rediss://`` or ``unix://``.
            ttl_s: time to live of each entry, in seconds.
            timeout_s: timeout of one call, in seconds.
        """
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # An idle connection that Redis has closed is retried; a timeout means that Redis is
            # unreachable.
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        )
        self._metrics = metrics
        self._ttl_ms = max(1, int(ttl_s * 1000))
        self._clock = clock
        self._rest_until = float("-inf")
        self._failing = False
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, key: CacheKey) -> bytes | None:
        """See `Store`."""
        if self._resting():
            return None
        try:
            found: Any = await self._redis.get(_name(key))
        except (RedisError, OSError, TimeoutError) as error:
            self._failed("get", error)
            return None
        self._answered()
        return None if found is None else bytes(found)

    def put(self, key: CacheKey, value: bytes) -> None:
        """See `Store`; while it cannot keep up, answers are not kept."""
        if not self._resting() and len(self._writes) < _MOST_WRITES:
            self._start("put", self._put(key, value))

    def forget(self, model: str, version: int) -> None:
        """See `Store`."""
        self._start("forget", self._forget(model, version))

    async def close(self) -> None:
        """See `Store`."""
        if self._writes:
            await asyncio.gather(*self._writes)
        await self._redis.aclose()

    async def _put(self, key: CacheKey, value: bytes) -> None:
        await self._redis.set(_name(key), value, px=self._ttl_ms)

    async def _forget(self, model: str, version: int) -> None:
        """Scan all keys: promotions are rare, so an index of the keys would cost more."""
        names: list[bytes] = []
        pattern = f"{_PREFIX}{model}@{version}:*"
        async for name in self._redis.scan_iter(match=pattern, count=_SCAN_COUNT):
            names.append(name)
            if len(names) >= _SCAN_COUNT:
                await self._redis.unlink(*names)
                names.clear()
        if names:
            await self._redis.unlink(*names)

    def _start(self, during: str, work: Coroutine[Any, Any, None]) -> None:
        task = start_job("cache-write", self._guarded(during, work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _guarded(self, during: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(during, error)

    def _resting(self) -> bool:
        return self._clock() < self._rest_until

    def _failed(self, during: str, error: Exception) -> None:
        self._metrics.store_failures.labels(during).inc()
        self._rest_until = self._clock() + _REST_S
        if not self._failing:
            self._failing = True
            # The text of the error may contain the URL and its password.
            _log.warning(
                "the cache's Redis fails (%s): answers are not found until it is back",
                type(error).__name__,
            )

    def _answered(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("the cache's Redis answers again")


def _name(key: CacheKey) -> str:
    return f"{_PREFIX}{key.model}@{key.version}:{key.digest}"
