"""Budgets of several adapters that share a Redis: what calls in flight hold back counts for all."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from enginehouse.api.caller import Caller
from enginehouse.gateway.limits.amount import BudgetAmount
from enginehouse.gateway.limits.budget_leases import BudgetLeases
from enginehouse.gateway.limits.budgets import BudgetReservation, Budgets
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.opening import open_limits
from enginehouse.gateway.limits.policy import LimitPolicy
from enginehouse.gateway.limits.redis_steps import RedisSteps
from prometheus_client import CollectorRegistry

from enginehouse.errors import BudgetError, StoreError
from tests.gateway.limits.calls import Ledger
from tests.redis_server import RedisServer


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class _Adapter:
    """The budgets of one adapter; all read the same ledger, which has nothing yet."""

    def __init__(
        self,
        url: str,
        tenant: str,
        *,
        refuse: bool = False,
        lease_s: float = 30.0,
        **limits: object,
    ) -> None:
        self.failures, self.tenant = 0, tenant
        self.steps = RedisSteps(url, timeout_s=5.0, failed=lambda: None)
        self.leases = BudgetLeases(self.steps, lease_s=lease_s, retry_s=0.01, failed=self._failed)
        metrics = LimitMetrics(CollectorRegistry(), TenantLabels(()))
        self.budgets = Budgets(Ledger(), metrics, refuse=refuse, leases=self.leases)
        self._rules = LimitPolicy(LimitsConfig.model_validate({"default": limits})).rules(
            Caller(tenant)
        )

    def _failed(self) -> None:
        self.failures += 1

    async def reserve(self, tokens: int, cost: float = 0.0) -> BudgetReservation:
        return await self.budgets.reserve(self._rules, BudgetAmount(tokens, cost))

    async def fits(self, tokens: int, cost: float = 0.0) -> bool:
        try:
            await self.reserve(tokens, cost)
        except BudgetError:
            return False
        return True

    async def passes(self, tokens: int) -> bool:
        """Whether they would fit now."""
        try:
            held = await self.reserve(tokens)
        except BudgetError:
            return False
        held.spend(BudgetAmount())
        await self.steps.drained()
        return True

    def kill(self) -> None:
        self.leases._renewing.cancel()
        self.steps._writing.cancel()


@asynccontextmanager
async def _two(url: str, **settings: object) -> AsyncIterator[tuple[_Adapter, _Adapter]]:
    tenant = uuid.uuid4().hex
    adapters = _Adapter(url, tenant, **settings), _Adapter(url, tenant, **settings)  # type: ignore[arg-type]
    yield adapters
    for adapter in adapters:
        await adapter.leases.close()
        await adapter.steps.close()


async def _until_it_fits(adapter: _Adapter, tokens: int) -> None:
    until = time.monotonic() + 60.0
    while not await adapter.fits(tokens):
        assert time.monotonic() < until, "not after 60 s"
        await asyncio.sleep(0.01)


def test_a_hundred_callers_of_two_adapters_do_not_exceed_a_budget(redis_server: RedisServer):
    async def work() -> list[bool]:
        async with _two(redis_server.url, daily_tokens=500) as (one, two):
            return await asyncio.gather(*((one, two)[n % 2].fits(10) for n in range(100)))

    assert sum(asyncio.run(work())) == 50


def test_the_stages_of_two_adapters_share_what_redis_holds(redis_server: RedisServer):
    config = LimitsConfig.model_validate({"default": {"daily_tokens": 100}})
    caller = Caller(uuid.uuid4().hex)

    async def work() -> None:
        opened = [
            open_limits(config, CollectorRegistry(), Ledger(), redis_url=redis_server.url)
            for _ in range(2)
        ]
        async with opened[0] as one, opened[1] as two:
            rules = one.requests.limits.policy.rules(caller)
            await one.requests.limits.budgets.reserve(rules, BudgetAmount(60))
            with pytest.raises(BudgetError):
                await two.requests.limits.budgets.reserve(rules, BudgetAmount(60))

    asyncio.run(work())


def test_money_is_held_back_as_tokens_are(redis_server: RedisServer):
    async def work() -> list[bool]:
        async with _two(redis_server.url, monthly_cost=0.5) as (one, two):
            return [await a.fits(1, 0.2) for a in (one, two, one, two)]

    assert asyncio.run(work()) == [True, True, False, False]


def test_an_answer_that_grows_is_seen_elsewhere_and_what_it_did_not_take_comes_back(
    redis_server: RedisServer,
):
    async def work() -> None:
        async with _two(redis_server.url, daily_tokens=100) as (one, two):
            held = await one.reserve(10)
            held.hold_back(BudgetAmount(90))
            await one.steps.drained()
            assert not await two.fits(20)
            held.spend(BudgetAmount(30))
            await one.steps.drained()
            # The ledger does not have the 30 yet.
            assert not await two.fits(71)
            assert await two.fits(70)

    asyncio.run(work())


def test_a_refused_call_holds_nothing_back(redis_server: RedisServer):
    async def work() -> None:
        async with _two(redis_server.url, daily_tokens=100) as (one, two):
            await one.reserve(60)
            with pytest.raises(BudgetError, match="is 100, and 40 of it is left"):
                await two.reserve(50)
            assert await two.fits(40)

    asyncio.run(work())


def test_what_a_killed_adapter_held_comes_back(redis_server: RedisServer):
    async def work() -> None:
        async with _two(redis_server.url, daily_tokens=100, lease_s=0.3) as (killed, alive):
            await killed.reserve(100)
            assert not await alive.fits(1)
            killed.kill()
            await _until_it_fits(alive, 100)

    asyncio.run(work())


def test_a_call_that_lasts_holds_longer_than_its_lease(redis_server: RedisServer):
    async def work() -> None:
        async with _two(redis_server.url, daily_tokens=100, lease_s=0.3) as (one, two):
            held = await one.reserve(100)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                assert not await two.fits(1)
                await asyncio.sleep(0.01)
            held.spend(BudgetAmount())
            await _until_it_fits(two, 100)

    asyncio.run(work())


def test_without_redis_each_adapter_counts_its_own_and_then_all_again(own_redis: RedisServer):
    async def work() -> None:
        async with _two(own_redis.url, daily_tokens=100, lease_s=0.3) as (one, two):
            await one.reserve(30)
            own_redis.kill()
            assert [await one.fits(80), await two.fits(80)] == [False, True]
            assert two.failures == 1
            own_redis.start()
            # What is in flight is written down again as its lease is renewed.
            three = _Adapter(own_redis.url, one.tenant, daily_tokens=100)
            until = time.monotonic() + 60.0
            while await three.passes(80):
                assert time.monotonic() < until
            await three.leases.close()
            await three.steps.close()

    asyncio.run(work())


async def _until_answered(adapter: _Adapter) -> None:
    until = time.monotonic() + 60.0
    while not await adapter.steps.answers():
        assert time.monotonic() < until, "Redis: not after 60 s"
        await asyncio.sleep(0.01)


def test_calls_are_refused_without_redis_if_that_is_wanted(own_redis: RedisServer):
    async def work() -> None:
        async with _two(own_redis.url, daily_tokens=100, refuse=True) as (one, _):
            own_redis.kill()
            with pytest.raises(StoreError, match="does not answer"):
                await one.reserve(1)
            own_redis.start()
            await _until_answered(one)
            until = time.monotonic() + 60.0
            while True:
                try:
                    # Nothing is left of what was refused.
                    await one.reserve(100)
                    return
                except StoreError:
                    assert time.monotonic() < until

    asyncio.run(work())
