"""Budgets: what is read, how long it counts, and what happens without a ledger."""

from __future__ import annotations

import asyncio

import pytest
from enginehouse.api.caller import Caller
from enginehouse.gateway.limits.amount import BudgetAmount
from enginehouse.gateway.limits.budgets import Budgets
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitPolicy
from prometheus_client import CollectorRegistry

from enginehouse.errors import BudgetError, StoreError
from tests.gateway.limits.calls import Ledger

#: 2026-11-21 12:00 UTC.
_NOON = 1795262400.0


class _Desk:
    def __init__(self, ledger: Ledger, *, refuse: bool = False, **default: object) -> None:
        self.now = _NOON
        self.ledger = ledger
        metrics = LimitMetrics(CollectorRegistry(), TenantLabels(()))
        self.budgets = Budgets(ledger, metrics, refuse=refuse, clock=lambda: self.now)
        config = {"default": default, "keys": {"k": {"daily_tokens": 50}}}
        self.policy = LimitPolicy(LimitsConfig.model_validate(config))

    async def reserve(self, tokens: int, key: str | None = None):
        return await self.budgets.reserve(self.policy.rules(Caller("t", key)), BudgetAmount(tokens))


def test_what_was_read_counts_for_a_second():
    async def work() -> None:
        desk = _Desk(Ledger(), daily_tokens=100)
        for later in (0.0, 0.9, 1.1):
            desk.now = _NOON + later
            await desk.reserve(0)
        assert len(desk.ledger.reads) == 2

    asyncio.run(work())


def test_what_ended_here_counts_until_the_ledger_has_it():
    async def work() -> None:
        desk = _Desk(Ledger(), daily_tokens=100)
        (await desk.reserve(60)).spend(BudgetAmount(60))
        with pytest.raises(BudgetError):
            await desk.reserve(60)
        desk.now += 5
        desk.ledger.amounts.day_tokens = 30
        await desk.reserve(60)

    asyncio.run(work())


def test_a_key_has_a_budget_beside_its_tenants():
    async def work() -> None:
        desk = _Desk(Ledger(), daily_tokens=100)
        await desk.reserve(50, "k")
        assert desk.ledger.reads == [("t", None), ("t", "k")]
        with pytest.raises(BudgetError, match="key 'k'"):
            await desk.reserve(1, "k")
        await desk.reserve(50)
        with pytest.raises(BudgetError, match="tenant 't'"):
            await desk.reserve(1)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("budget", "hours"), [("daily_tokens", 12), ("monthly_tokens", 12 + 9 * 24)]
)
def test_a_refusal_says_when_the_budget_begins_anew(budget: str, hours: int):
    async def work() -> None:
        desk = _Desk(Ledger(day_tokens=9, month_tokens=9), **{budget: 9})
        with pytest.raises(BudgetError) as caught:
            await desk.reserve(0)
        assert caught.value.retry_after_s == hours * 3600

    asyncio.run(work())


def test_without_the_ledger_what_is_known_here_counts():
    async def work() -> None:
        desk = _Desk(Ledger(day_tokens=40), daily_tokens=100)
        await desk.reserve(0)
        desk.ledger.error = StoreError("away")
        desk.now += 2
        await desk.reserve(60)
        with pytest.raises(BudgetError):
            await desk.reserve(1)

    asyncio.run(work())


def test_what_was_read_yesterday_does_not_count_today():
    async def work() -> None:
        desk = _Desk(Ledger(day_tokens=100), daily_tokens=100)
        with pytest.raises(BudgetError):
            await desk.reserve(0)
        desk.ledger.error = StoreError("away")
        desk.now += 13 * 3600
        await desk.reserve(0)

    asyncio.run(work())


def test_without_the_ledger_calls_are_refused_where_that_is_chosen():
    async def work() -> None:
        desk = _Desk(Ledger(), refuse=True, daily_tokens=100)
        desk.ledger.error = StoreError("away")
        with pytest.raises(StoreError):
            await desk.reserve(0)

    asyncio.run(work())
