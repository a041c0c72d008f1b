from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.gateway.cache.keys import CacheKey
from enginehouse.gateway.cache.metrics import CacheMetrics
from enginehouse.gateway.cache.redis_store import RedisCacheStore
from enginehouse.gateway.cache.store import MemoryCacheStore
from prometheus_client import CollectorRegistry

from tests.gateway.cache.cache_calls import Behind, cached, manifest_in, question, route_to
from tests.redis_server import RedisServer


def _key(digest: str, version: int = 1) -> CacheKey:
    return CacheKey("m", version, digest)


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _memory(clock: _Clock, **limits: int) -> MemoryCacheStore:
    bounds = {"most_entries": 100, "most_bytes": 10_000} | limits
    metrics = CacheMetrics(CollectorRegistry())
    return MemoryCacheStore(metrics, ttl_s=10, clock=clock, **bounds)


def _there(store: MemoryCacheStore, *digests: str) -> list[str]:
    return [d for d in digests if asyncio.run(store.get(_key(d))) is not None]


def test_an_entry_in_memory_is_gone_after_its_time() -> None:
    clock = _Clock()
    store = _memory(clock)
    store.put(_key("a"), b"1")
    clock.now += 9.9
    assert _there(store, "a") == ["a"]
    clock.now += 0.1
    assert _there(store, "a") == []


@pytest.mark.parametrize("limits", [{"most_entries": 2}, {"most_bytes": 20}])
def test_the_entry_not_used_for_the_longest_goes_first(limits: dict[str, int]) -> None:
    store = _memory(_Clock(), **limits)
    store.put(_key("a"), b"0123456789")
    store.put(_key("b"), b"0123456789")
    assert _there(store, "a") == ["a"]
    store.put(_key("c"), b"0123456789")
    assert _there(store, "a", "b", "c") == ["a", "c"]


def test_an_entry_larger_than_the_store_drops_nothing() -> None:
    store = _memory(_Clock(), most_bytes=20)
    store.put(_key("a"), b"0123456789")
    store.put(_key("b"), b"x" * 21)
    assert _there(store, "a", "b") == ["a"]


def test_a_new_value_replaces_the_old_one_and_its_bytes() -> None:
    store = _memory(_Clock(), most_bytes=20)
    store.put(_key("a"), b"x" * 15)
    store.put(_key("b"), b"y" * 5)
    store.put(_key("a"), b"z" * 15)
    assert _there(store, "a", "b") == ["a", "b"]


def test_forgetting_a_version_leaves_the_others() -> None:
    store = _memory(_Clock())
    store.put(_key("a", 1), b"1")
    store.put(_key("a", 2), b"2")
    store.forget("m", 1)
    assert asyncio.run(store.get(_key("a", 1))) is None
    assert asyncio.run(store.get(_key("a", 2))) == b"2"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def _shared(url: str, *, ttl_s: float = 60.0, clock: _Clock | None = None) -> RedisCacheStore:
    metrics = CacheMetrics(CollectorRegistry())
    return RedisCacheStore(url, metrics, ttl_s=ttl_s, timeout_s=0.2, clock=clock or _Clock())


def _failures(store: RedisCacheStore, during: str) -> float:
    return float(store._metrics.store_failures.labels(during)._value.get())


def test_two_adapters_find_each_others_answers(redis: RedisServer, tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path)

    async def scenario() -> None:
        behind = Behind()
        stores = [_shared(redis.url), _shared(redis.url)]
        await cached(store=stores[0]).ask(question(route_to(manifest)), behind)
        await stores[0].close()
        again = question(route_to(manifest))
        pieces = await cached(store=stores[1]).ask(again, behind)
        await stores[1].close()

        assert "".join(piece.text for piece in pieces) == "Paris."
        assert len(behind.asked) == 1
        assert again.call.served_by is not None
        assert again.call.served_by.source == "cache"

    asyncio.run(scenario())


def test_entries_in_redis_expire_and_hold_no_question(redis: RedisServer) -> None:
    async def scenario() -> None:
        store = _shared(redis.url, ttl_s=30.0)
        store.put(_key("expiring"), b"1")
        await store.close()

    asyncio.run(scenario())
    with redis.client() as client:
        assert 0 < client.pttl("enginehouse:cache:m@1:expiring") <= 30_000


def test_forgetting_in_redis_leaves_other_versions(redis: RedisServer) -> None:
    async def scenario() -> None:
        store = _shared(redis.url)
        for version in (1, 11):
            for count in range(1200 if version == 1 else 1):
                await store._put(_key(f"f{count}", version), b"1")
        store.forget("m", 1)
        await store.close()

        other = _shared(redis.url)
        assert await other.get(_key("f0", 1)) is None
        assert await other.get(_key("f1199", 1)) is None
        assert await other.get(_key("f0", 11)) == b"1"
        await other.close()

    asyncio.run(scenario())


def test_while_redis_is_away_questions_are_not_found_and_none_fails(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path)

    async def scenario() -> None:
        clock = _Clock()
        with RedisServer() as server:
            store = _shared(server.url, clock=clock)
            cache, behind = cached(store=store), Behind()
            await cache.ask(question(route_to(manifest)), behind)
            server.kill()

            for _ in range(3):
                assert len(await cache.ask(question(route_to(manifest)), behind)) == 2
            assert _failures(store, "get") == 1  # then it is left alone for a moment

            await asyncio.gather(*store._writes)
            server.start()
            clock.now += 2.0
            await cache.ask(question(route_to(manifest)), behind)
            await asyncio.gather(*store._writes)
            asked = len(behind.asked)
            await cache.ask(question(route_to(manifest)), behind)
            assert len(behind.asked) == asked
            await store.close()

    asyncio.run(scenario())


def test_a_redis_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    manifest = manifest_in(tmp_path)

    async def scenario() -> None:
        with RedisServer() as server:
            store = _shared(server.url)
            assert await store.get(_key("warm")) is None
            server.pause()
            try:
                behind = Behind()
                pieces = await cached(store=store).ask(question(route_to(manifest)), behind)
            finally:
                server.resume()

            assert len(pieces) == 2
            assert _failures(store, "get") == 1
            await store.close()

    asyncio.run(scenario())
