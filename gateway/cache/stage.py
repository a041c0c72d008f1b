"""The stage that answers from what was answered before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from enginehouse.api.call import Call, Proceed, passed
from enginehouse.api.generation import Piece
from enginehouse.api.routing import Directory
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
Routed = Callable[[str], frozenset[int]]


def routed_by(directory: Directory) -> Routed:
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
    routed: Routed,
    *,
    redis_url: str | None = None,
    settings: Callable[[str], object] = lambda _: None,
) -> AsyncIterator[ResponseCache]:
    """The stage and its store, until the block ends.

    Args:
        settings: what the configuration adds to a model's answers (defaults of its sampling), as
            JSON; part of the key.

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
        yield ResponseCache(config, store, metrics, routed, settings=settings)
    finally:
        await store.close()


class ResponseCache:
    """Gives an answer that is kept, else keeps the one that comes. It stands behind `Routing`."""

    name = "cache"

    def __init__(
        self,
        config: CacheConfig,
        store: CacheStore,
        metrics: CacheMetrics,
        routed: Routed,
        *,
        settings: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._routed = routed
        self._keys = KeyMaker(shared=config.shared, settings=settings)
        self._flights = Flights(config.most_waiters)
        self._seen: dict[str, frozenset[int]] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`.

        Raises:
            InvalidRequestError: if the request's cache header says what nobody understands.
        """
        key = self._key(call)
        if key is None:
            source = passed(self._noted(call, "bypass"), proceed)
        else:
            found = await self._find(call, key)
            source = self._answered(call, key, proceed) if found is None else _kept(call, found)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                yield piece

    def _key(self, call: Call) -> CacheKey | None:
        """None if this call has nothing to do with the cache."""
        wish = call.headers.get(CACHE_HEADER)
        if wish not in {None, _NO_STORE}:
            raise InvalidRequestError(
                f"{CACHE_HEADER} is {wish!r}: give {_NO_STORE!r}, or leave it out",
                field=CACHE_HEADER,
            )
        assert call.route is not None  # noqa: S101 - `Routing` stands before
        route, identity = call.route, call.ask.identity
        routed = self._follow(route.revision.target.model)
        # An arm of an experiment has to be lived through to be counted; `echo` writes what only
        # a prepared prompt has.
        if wish or route.treatment is not None or not identity or identity.get("echo"):
            return None
        if route.revision.version not in routed:
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

    async def _find(self, call: Call, key: CacheKey) -> CacheEntry | None:
        entry = await self._stored(key)
        result = "hit"
        if entry is None:
            entry, result = await self._shared(call, key), "shared"
        self._noted(call, "miss" if entry is None else result)
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

    async def _answered(
        self, call: Call, key: CacheKey, proceed: Proceed
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of the stages behind; kept once the last of them is out."""
        recording, entry = Recording(self._config.most_entry_bytes), None
        flight: Flight | None = None
        if self._config.single_flight:
            flight = self._flights.lead(key)
        try:
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    recording.see(piece)
                    yield piece
            if _answered_by(call, key):
                by = call.served_by
                fingerprint = None if by is None else by.fingerprint
                entry = recording.entry(call.usage, call.choices, fingerprint)
            self._keep(key, entry)
        finally:
            if flight is not None:
                self._flights.end(key, flight, entry)

    def _keep(self, key: CacheKey, entry: CacheEntry | None) -> None:
        raw = None if entry is None else entry.encode()
        if raw is not None and len(raw) <= self._config.most_entry_bytes:
            self._store.put(key, raw)

    def _noted(self, call: Call, result: str) -> Call:
        assert call.route is not None  # noqa: S101 - `Routing` stands before
        self._metrics.lookups.labels(call.route.revision.target.model, result).inc()
        call.response_headers[CACHE_HEADER] = "hit" if result == "shared" else result
        return call


def _answered_by(call: Call, key: CacheKey) -> bool:
    """Whether the version that was asked is the one that answered."""
    return call.route is not None and call.route.revision.version == key.version


async def _kept(call: Call, entry: CacheEntry) -> AsyncGenerator[Piece, None]:
    assert call.served_by is not None  # noqa: S101 - `Routing` stands before
    call.served_by = replace(call.served_by, source=_SOURCE, fingerprint=entry.fingerprint)
    call.usage = replace(entry.usage)
    for piece in entry.pieces:
        yield piece
