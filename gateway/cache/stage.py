"""The stage that answers from what was answered before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from enginehouse.api.call import Call, Routed, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.routing import Directory
from enginehouse.api.stage import Proceed
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.entry import CacheEntry, Recording
from enginehouse.gateway.cache.flights import Flight, Flights
from enginehouse.gateway.cache.keys import CacheKey, KeyMaker
from enginehouse.gateway.cache.metrics import CacheMetrics
from enginehouse.gateway.cache.redis_store import RedisCacheStore
from enginehouse.gateway.cache.store import CacheStore, MemoryCacheStore
from prometheus_client import CollectorRegistry

from enginehouse.errors import InvalidRequestError, SettingsError

CACHE_HEADER = "x-enginehouse-cache"
_NO_STORE = "no-store"
_SOURCE = "cache"

#: Model → the versions that requests may be routed to now.
RoutedVersions = Callable[[str], frozenset[int]]


def routed_by(directory: Directory) -> RoutedVersions:
    """The versions that get requests: by the routes, or without them all that are loaded."""

    def routed(model: str) -> frozenset[int]:
        routes = directory.routes(model)
        if routes is None:
            return frozenset(directory.revisions(model))
        tried = (arm.version for e in routes.experiments for arm in e.arms)
        named = {routes.champion, *(arm.version for arm in routes.arms), *tried}
        return frozenset(version for version in named if version is not None)

    return routed


@asynccontextmanager
async def open_cache(
    config: CacheConfig,
    registry: CollectorRegistry,
    routed: RoutedVersions,
    *,
    redis_url: str | None = None,
) -> AsyncIterator[ResponseCache]:
    """The stage and its store, until the block ends.

    Raises:
        SettingsError: if it is to be in Redis and no Redis is named.
    """
    metrics = CacheMetrics(registry)
    store: CacheStore
    if config.store == "redis":
        if redis_url is None:
            raise SettingsError(
                "cache.store is 'redis', and ENGINEHOUSE_REDIS_URL is not set: set it, or keep "
                "the cache in memory"
            )
        store = RedisCacheStore(
            redis_url, metrics, ttl_s=config.ttl_s, timeout_s=config.redis_timeout_s
        )
    else:
        store = MemoryCacheStore(
            metrics,
            ttl_s=config.ttl_s,
            most_entries=config.most_entries,
            most_bytes=config.most_bytes,
        )
    try:
        yield ResponseCache(config, store, metrics, routed)
    finally:
        await store.close()


class ResponseCache:
    """Answers from the cache, or stores the new answer; it stands at `routed`."""

    def __init__(
        self,
        config: CacheConfig,
        store: CacheStore,
        metrics: CacheMetrics,
        routed: RoutedVersions,
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._routed = routed
        self._keys = KeyMaker(shared=config.shared)
        self._flights = Flights(config.most_waiters)
        self._seen: dict[str, frozenset[int]] = {}

    @asynccontextmanager
    async def transform(
        self, routed: Routed, proceed: Proceed[Routed]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """See `Transformer`.

        Raises:
            InvalidRequestError: if the request's cache header has an unknown value.
        """
        key = self._key(routed)
        if key is None:
            self._noted(routed, "bypass")
            async with proceed(routed) as pieces:
                yield pieces
            return
        found = await self._find(routed, key)
        if found is None:
            async with self._answered(routed, key, proceed) as pieces:
                yield pieces
            return
        _answer_from(routed.call, found)
        async with aclosing(_pieces(found)) as kept:
            yield kept

    def _key(self, routed: Routed) -> CacheKey | None:
        """None if this call has nothing to do with the cache."""
        call, route, identity = routed.call, routed.route, routed.call.ask.identity
        wish = call.headers.get(CACHE_HEADER)
        if wish not in {None, _NO_STORE}:
            raise InvalidRequestError(
                f"{CACHE_HEADER} is {wish!r}: give {_NO_STORE!r}, or leave it out",
                field=CACHE_HEADER,
            )
        versions = self._follow(routed.model)
        # A call on an experiment's arm always runs: a cached answer would not count as an
        # exposure. `echo` writes what only a prepared prompt has.
        if wish or route.treatment is not None or not identity or identity.get("echo"):
            return None
        if routed.version not in versions:
            return None
        if not (call.ask.deterministic or self._config.always):
            return None
        return self._keys.key(call, route)

    def _follow(self, model: str) -> frozenset[int]:
        """Drop the answers of versions that get no requests any more."""
        routed = self._routed(model)
        before = self._seen.get(model, routed)
        if before != routed:
            for version in before - routed:
                self._store.forget(model, version)
        self._seen[model] = routed
        return routed

    async def _find(self, routed: Routed, key: CacheKey) -> CacheEntry | None:
        entry = await self._stored(key)
        result = "hit"
        if entry is None:
            entry, result = await self._shared(routed.call, key), "shared"
        self._noted(routed, "miss" if entry is None else result)
        return entry

    async def _stored(self, key: CacheKey) -> CacheEntry | None:
        raw = await self._store.get(key)
        if raw is None:
            return None
        try:
            return CacheEntry.decode(raw)
        except ValueError:
            self._metrics.store_failures.labels("get").inc()
            return None

    async def _shared(self, call: Call, key: CacheKey) -> CacheEntry | None:
        flight = self._flights.joinable(key)
        if flight is None:
            return None
        limit_s, left_s = self._config.most_wait_s, call.remaining_s()
        return await flight.wait(limit_s if left_s is None else min(limit_s, left_s))

    @asynccontextmanager
    async def _answered(
        self, routed: Routed, key: CacheKey, proceed: Proceed[Routed]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """The chunks of the stages behind; kept once the last of them is out."""
        recording = Recording(self._config.most_entry_bytes)
        flight: Flight | None = None
        if self._config.single_flight:
            flight = self._flights.lead(key)
        try:
            async with proceed(routed) as pieces, aclosing(_recorded(pieces, recording)) as seen:
                yield seen
        finally:
            # What was cut has no entry: other askers of the same ask for themselves.
            entry = _entry(recording, routed.call, key)
            if flight is not None:
                self._flights.end(key, flight, entry)
        self._keep(key, entry)

    def _keep(self, key: CacheKey, entry: CacheEntry | None) -> None:
        raw = None if entry is None else entry.encode()
        if raw is not None and len(raw) <= self._config.most_entry_bytes:
            self._store.put(key, raw)

    def _noted(self, routed: Routed, result: str) -> None:
        self._metrics.lookups.labels(routed.model, result).inc()
        routed.call.response_headers[CACHE_HEADER] = "hit" if result == "shared" else result


async def _recorded(
    pieces: AsyncIterator[TextChunk], recording: Recording
) -> AsyncGenerator[TextChunk, None]:
    async for piece in pieces:
        recording.see(piece)
        yield piece
    recording.complete = True


def _entry(recording: Recording, call: TextCall, key: CacheKey) -> CacheEntry | None:
    """What is kept of an answer; None if it was cut, or another version than asked gave it."""
    answered = call.answered
    if not recording.complete or answered is None or answered.served_by.version != key.version:
        return None
    fingerprint = answered.served_by.fingerprint
    return recording.entry(answered.usage, answered.choices, fingerprint)


def _answer_from(call: TextCall, entry: CacheEntry) -> None:
    if call.answered is not None:
        by = replace(call.answered.served_by, source=_SOURCE, fingerprint=entry.fingerprint)
        call.answered = replace(call.answered, served_by=by, used=replace(entry.usage))


async def _pieces(entry: CacheEntry) -> AsyncGenerator[TextChunk, None]:
    for piece in entry.pieces:
        yield piece
