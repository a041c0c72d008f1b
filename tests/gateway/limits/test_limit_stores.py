"""Stores of limits: the same of memory and of a real Redis."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from enginehouse.gateway.limits.memory import MemoryLimitStore
from enginehouse.gateway.limits.redis_store import RedisLimitStore
from enginehouse.gateway.limits.store import (
    ConcurrencyLimit,
    LimitClaim,
    LimitHold,
    LimitKind,
    LimitRefusal,
    LimitStore,
    RateLimit,
)

from tests.redis_server import RedisServer

Open = Callable[[], "asynccontextmanager[LimitStore]"]


@pytest.fixture(params=["memory", "redis"])
def run(request: pytest.FixtureRequest):
    """Runs a test with a store."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[LimitStore]:
        if request.param == "memory":
            yield MemoryLimitStore()
            return
        server: RedisServer = request.getfixturevalue("redis_server")
        store = RedisLimitStore(server.url, timeout_s=10.0, lease_s=30.0, failed=_never)
        yield store
        await store.close()

    def runner(work: Callable[[LimitStore], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            async with opened() as store:
                await work(store)

        asyncio.run(all_of_it())

    return runner


def _never() -> None:
    raise AssertionError("a write failed")


def _key() -> str:
    return f"{{{uuid.uuid4().hex}}}"


def _wanted(key: str, amount: int = 1, capacity: int = 50, places: int | None = None) -> LimitClaim:
    rates = [RateLimit(LimitKind.REQUESTS, f"{key}:requests", capacity, amount)]
    held = [] if places is None else [ConcurrencyLimit(f"{key}:concurrent", places)]
    return LimitClaim(uuid.uuid4().hex, rates, held)


async def _written(store: LimitStore) -> None:
    if isinstance(store, RedisLimitStore):
        await store.steps.drained()


async def _take(store: LimitStore, wanted: LimitClaim) -> LimitHold:
    found = await store.take(wanted)
    assert not isinstance(found, LimitRefusal)
    return found


def test_a_hundred_callers_at_once_get_exactly_the_limit(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        found = await asyncio.gather(*(store.take(_wanted(key)) for _ in range(100)))
        assert sum(not isinstance(one, LimitRefusal) for one in found) == 50

    run(work)


def test_a_hundred_callers_at_once_get_exactly_the_places(run):
    async def work(store: LimitStore) -> None:
        key, most, now = _key(), 0, 0

        async def call() -> bool:
            nonlocal most, now
            hold = await store.take(_wanted(key, capacity=1000, places=8))
            if isinstance(hold, LimitRefusal):
                assert hold.kind is LimitKind.CONCURRENT
                return False
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            hold.release()
            await _written(store)
            return True

        found = await asyncio.gather(*(call() for _ in range(100)))
        assert most <= 8
        assert any(found)
        assert await call(), "all places are free again"

    run(work)


def test_nothing_is_taken_if_one_limit_refuses(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        narrow = RateLimit(LimitKind.TOKENS, f"{key}:tokens", 10, 11)
        wide = RateLimit(LimitKind.REQUESTS, f"{key}:requests", 5, 5)
        place = ConcurrencyLimit(f"{key}:concurrent", 1)
        refused = await store.take(LimitClaim("a", [wide, narrow], [place]))
        assert isinstance(refused, LimitRefusal)
        assert (refused.kind, refused.capacity, refused.amount) == (LimitKind.TOKENS, 10, 11)
        await _take(store, LimitClaim("b", [wide], [place]))

    run(work)


def test_a_refusal_says_when_it_fits(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        await _take(store, _wanted(key, 50))
        refused = await store.take(_wanted(key))
        assert isinstance(refused, LimitRefusal)
        assert 50 < refused.retry_after_s <= 61
        assert [level.remaining for level in refused.levels] == [0]

    run(work)


def test_levels_are_those_after_taking(run):
    async def work(store: LimitStore) -> None:
        level = (await _take(store, _wanted(_key(), 20))).levels[0]
        assert (level.kind, level.capacity, level.remaining) == (LimitKind.REQUESTS, 50, 30)
        assert 50 < level.reset_s <= 61

    run(work)


def test_settling_gives_back_and_charges(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        hold = await _take(store, _wanted(key, 40))
        hold.settle(LimitKind.REQUESTS, 10)
        await _written(store)
        assert (await _take(store, _wanted(key, 0))).levels[0].remaining == 40
        more = await _take(store, _wanted(key, 10))
        more.settle(LimitKind.REQUESTS, 30)
        more.settle(LimitKind.REQUESTS, 30)
        await _written(store)
        assert (await _take(store, _wanted(key, 0))).levels[0].remaining == 10

    run(work)


def test_who_has_used_too_much_is_refused_until_it_is_gone(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        (await _take(store, _wanted(key, 10))).settle(LimitKind.REQUESTS, 60)
        await _written(store)
        refused = await store.take(_wanted(key, 0))
        assert isinstance(refused, LimitRefusal)
        assert refused.levels[0].remaining == 0

    run(work)


def test_releasing_twice_gives_one_place_back(run):
    async def work(store: LimitStore) -> None:
        key = _key()
        first = await _take(store, _wanted(key, places=2))
        await _take(store, _wanted(key, places=2))
        first.release()
        first.release()
        await _written(store)
        await _take(store, _wanted(key, places=2))
        assert isinstance(await store.take(_wanted(key, places=2)), LimitRefusal)

    run(work)


def test_memory_forgets_counts_that_nobody_uses():
    now = 0.0
    store = MemoryLimitStore(lambda: now)
    for index in range(500):
        store.take_now(_wanted(str(index)))
    now = 1000.0
    for _ in range(1000):
        store.take_now(_wanted("same", 0))
    assert len(store._windows) == 1
