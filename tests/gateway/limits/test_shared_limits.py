"""Several adapters on one Redis, and what happens without it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.redis_store import RedisLimitStore
from enginehouse.gateway.limits.shared_store import Degradation, SharedLimitStore
from enginehouse.gateway.limits.store import (
    ConcurrencyLimit,
    LimitClaim,
    LimitKind,
    LimitRefusal,
    RateLimit,
)
from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError
from tests.redis_server import RedisServer


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class _Adapter:
    def __init__(self, url: str, *, refuse: bool = False, adapters: int = 2) -> None:
        self.registry = CollectorRegistry()
        metrics = LimitMetrics(self.registry, TenantLabels(()))
        redis = RedisLimitStore(url, timeout_s=5.0, lease_s=30.0, failed=lambda: None)
        self.store = SharedLimitStore(redis, Degradation(refuse, adapters, 0.01), metrics)

    @property
    def away(self) -> bool:
        return self.registry.get_sample_value("enginehouse_limit_store_away") == 1

    @property
    def failures(self) -> float:
        return self.registry.get_sample_value("enginehouse_limit_store_failures_total") or 0

    async def taken(self, key: str, count: int, capacity: int = 40) -> int:
        """Number of concurrent calls that were admitted."""
        found = await asyncio.gather(
            *(self.store.take(_wanted(key, capacity)) for _ in range(count))
        )
        return sum(not isinstance(one, LimitRefusal) for one in found)


def _wanted(key: str, capacity: int = 40) -> LimitClaim:
    return LimitClaim(
        uuid.uuid4().hex, [RateLimit(LimitKind.REQUESTS, f"{{{key}}}:requests", capacity, 1)]
    )


def _place(key: str, capacity: int = 1) -> LimitClaim:
    return LimitClaim(uuid.uuid4().hex, (), [ConcurrencyLimit(f"{{{key}}}:concurrent", capacity)])


async def _until(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until, f"{what}: not after 60 s"
        await asyncio.sleep(0.01)


def test_two_adapters_share_one_limit(redis_server: RedisServer):
    async def work() -> None:
        one, two = _Adapter(redis_server.url), _Adapter(redis_server.url)
        key = uuid.uuid4().hex
        found = await asyncio.gather(one.taken(key, 50), two.taken(key, 50))
        assert sum(found) == 40
        await one.store.close()
        await two.store.close()

    asyncio.run(work())


def test_killing_redis_in_the_middle_loses_no_request_and_each_adapter_keeps_its_part(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    async def work() -> None:
        one, two = _Adapter(own_redis.url), _Adapter(own_redis.url)
        assert await one.taken("before", 5) == 5
        before = asyncio.gather(one.taken("a", 50), two.taken("a", 50))
        own_redis.kill()
        # Whatever Redis had let through: every call was answered, and no part is exceeded after.
        assert all(0 <= count <= 40 for count in await before)
        assert [await one.taken("b", 50), await two.taken("b", 50)] == [20, 20]
        assert one.away
        assert two.away
        assert one.failures >= 1
        await one.store.close()
        await two.store.close()

    caplog.set_level(logging.WARNING)
    asyncio.run(work())
    said = [r for r in caplog.records if "1/2 of each" in r.getMessage()]
    assert len(said) == 2, "each adapter says it once"


def test_redis_that_comes_back_is_used_again_and_nobody_gets_more_meanwhile(
    own_redis: RedisServer,
):
    async def work() -> None:
        one, two = _Adapter(own_redis.url), _Adapter(own_redis.url)
        own_redis.kill()
        assert [await one.taken("a", 50), await two.taken("a", 50)] == [20, 20]
        own_redis.start()
        await _until(lambda: not (one.away or two.away), "Redis is used again")
        assert [await one.taken("a", 50), await two.taken("a", 50)] == [0, 0]
        assert [await one.taken("b", 5), await two.taken("b", 5)] == [5, 5]
        with own_redis.client() as client:
            assert client.hvals("{b}:requests")
        await one.store.close()
        await two.store.close()

    asyncio.run(work())


def test_a_redis_that_hangs_holds_nobody_up(own_redis: RedisServer):
    async def work() -> None:
        redis = RedisLimitStore(own_redis.url, timeout_s=0.2, lease_s=30.0, failed=lambda: None)
        metrics = LimitMetrics(CollectorRegistry(), TenantLabels(()))
        store = SharedLimitStore(
            redis, Degradation(refuse=False, adapters=1, retry_s=0.01), metrics
        )
        own_redis.pause()
        assert not isinstance(await store.take(_wanted("a")), LimitRefusal)
        assert store._away
        # From here on only the task that polls it sends anything.
        asked = redis.take
        redis.take = _unasked  # type: ignore[method-assign]
        assert not isinstance(await store.take(_wanted("a")), LimitRefusal)
        redis.take = asked  # type: ignore[method-assign]
        own_redis.resume()
        await _until(lambda: not store._away, "Redis is used again")
        await store.close()

    asyncio.run(work())


async def _unasked(wanted: LimitClaim) -> LimitRefusal:
    raise AssertionError("Redis was asked")


def test_places_taken_without_redis_are_known_to_it_later(own_redis: RedisServer):
    async def work() -> None:
        redis = RedisLimitStore(own_redis.url, timeout_s=5.0, lease_s=0.3, failed=lambda: None)
        metrics = LimitMetrics(CollectorRegistry(), TenantLabels(()))
        store = SharedLimitStore(
            redis, Degradation(refuse=False, adapters=1, retry_s=0.01), metrics
        )
        own_redis.kill()
        hold = await store.take(_place("a"))
        assert not isinstance(hold, LimitRefusal)
        own_redis.start()
        with own_redis.client() as client:
            await _until(lambda: client.zcard("{a}:concurrent") == 1, "Redis knows the place")
            hold.release()
            await redis.steps.drained()
            assert client.zcard("{a}:concurrent") == 0
        await store.close()

    asyncio.run(work())


def test_calls_with_limits_are_refused_where_that_is_chosen(own_redis: RedisServer):
    async def work() -> None:
        adapter = _Adapter(own_redis.url, refuse=True)
        own_redis.kill()
        for _ in range(2):
            with pytest.raises(StoreError, match="try again later"):
                await adapter.store.take(_wanted("a"))
        await adapter.store.close()

    asyncio.run(work())


def test_places_of_a_killed_adapter_come_back(redis_server: RedisServer):
    async def work() -> None:
        key = uuid.uuid4().hex
        killed = RedisLimitStore(redis_server.url, timeout_s=5.0, lease_s=0.3, failed=lambda: None)
        alive = RedisLimitStore(redis_server.url, timeout_s=5.0, lease_s=0.3, failed=lambda: None)
        assert not isinstance(await killed.take(_place(key)), LimitRefusal)
        assert isinstance(await alive.take(_place(key)), LimitRefusal)
        for task in (killed._renewing, killed.steps._writing):
            task.cancel()
        found = await alive.take(_place(key))
        while isinstance(found, LimitRefusal):
            found = await alive.take(_place(key))
        await alive.close()

    asyncio.run(work())


def test_a_place_is_held_longer_than_its_lease_while_its_adapter_lives(redis_server: RedisServer):
    async def work() -> None:
        key = uuid.uuid4().hex
        store = RedisLimitStore(redis_server.url, timeout_s=5.0, lease_s=0.3, failed=lambda: None)
        wanted = _place(key)
        await store.take(wanted)
        with redis_server.client() as client:
            name = wanted.places[0].key
            ends = client.zscore(name, wanted.holder)
            # Renewed until long after the first lease was over.
            await _until(
                lambda: (client.zscore(name, wanted.holder) or 0) > ends + 600, "it is renewed"
            )
        assert isinstance(await store.take(_place(key)), LimitRefusal)
        await store.close()

    asyncio.run(work())


def test_closing_gives_places_back(redis_server: RedisServer):
    async def work() -> None:
        store = RedisLimitStore(redis_server.url, timeout_s=5.0, lease_s=30.0, failed=lambda: None)
        wanted = _place(uuid.uuid4().hex)
        await store.take(wanted)
        await store.close()
        with redis_server.client() as client:
            assert client.zcard(wanted.places[0].key) == 0

    asyncio.run(work())


def test_counts_in_redis_end_by_themselves_and_old_parts_weigh_nothing(redis_server: RedisServer):
    async def work() -> None:
        store = RedisLimitStore(redis_server.url, timeout_s=5.0, lease_s=30.0, failed=lambda: None)
        wanted = _wanted(uuid.uuid4().hex)
        name = wanted.rates[0].key
        with redis_server.client() as client:
            client.hset(name, str(client.time()[0] - 70), 40)
            found = await store.take(wanted)
            assert not isinstance(found, LimitRefusal)
            assert found.levels[0].remaining == 39
            assert client.hlen(name) == 1
            assert 60_000 < client.pttl(name) <= 62_000
        await store.close()

    asyncio.run(work())
