"""Interface of the cache's stores, and the store in memory."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Protocol

from enginehouse.gateway.cache.keys import CacheKey
from enginehouse.gateway.cache.metrics import CacheMetrics


class CacheStore(Protocol):
    """Bytes by key, with an expiry. A failing store reports a miss and raises no error."""

    async def get(self, key: CacheKey) -> bytes | None:
        """The stored bytes, unless they have expired or were evicted."""
        ...

    def put(self, key: CacheKey, value: bytes) -> None:
        """Store the bytes; the write may still be pending on return."""
        ...

    def forget(self, model: str, version: int) -> None:
        """Remove all answers of a version; the removal may still be pending on return."""
        ...

    async def close(self) -> None:
        """Finish pending writes."""
        ...


class MemoryCacheStore:
    """Cached answers of this process; the least recently used one is evicted first."""

    def __init__(
        self,
        metrics: CacheMetrics,
        *,
        ttl_s: float,
        most_entries: int,
        most_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._ttl_s = ttl_s
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[CacheKey, tuple[float, bytes]] = OrderedDict()
        self._by_version: defaultdict[tuple[str, int], set[CacheKey]] = defaultdict(set)
        self._bytes = 0

    async def get(self, key: CacheKey) -> bytes | None:
        """See `CacheStore`."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, value = found
        if self._clock() >= until:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: CacheKey, value: bytes) -> None:
        """See `CacheStore`."""
        if len(value) > self._most_bytes:
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = self._clock() + self._ttl_s, value
        self._by_version[key.model, key.version].add(key)
        self._bytes += len(value)
        while self._bytes > self._most_bytes or len(self._kept) > self._most_entries:
            self._drop(next(iter(self._kept)))
            self._metrics.evictions.inc()
        self._count()

    def forget(self, model: str, version: int) -> None:
        """See `CacheStore`."""
        for key in list(self._by_version.get((model, version), ())):
            self._drop(key)

    async def close(self) -> None:
        """Nothing to do: no write is pending."""

    def _drop(self, key: CacheKey) -> None:
        _, value = self._kept.pop(key)
        self._bytes -= len(value)
        of_version = self._by_version[key.model, key.version]
        of_version.discard(key)
        if not of_version:
            del self._by_version[key.model, key.version]
        self._count()

    def _count(self) -> None:
        self._metrics.entries.set(len(self._kept))
        self._metrics.bytes.set(self._bytes)
