"""Putting limits together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from enginehouse.gateway.accounting import Price, SpendingSource
from enginehouse.gateway.limits.budget_leases import BudgetLeases
from enginehouse.gateway.limits.budgets import Budgets
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.memory import MemoryLimitStore
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitPolicy
from enginehouse.gateway.limits.redis_store import RedisLimitStore
from enginehouse.gateway.limits.shared_store import Degradation, SharedLimitStore
from enginehouse.gateway.limits.stages import LimitEnforcer, RequestLimits, TokenLimits
from enginehouse.gateway.limits.store import LimitStore
from enginehouse.gateway.limits.turns import Turns
from prometheus_client import CollectorRegistry

from enginehouse.errors import SettingsError
from enginehouse.urls import redacted


@dataclass(frozen=True, slots=True)
class LimitStages:
    """Stages in their order: the first for every call, the others between `Attempts` and engine."""

    requests: RequestLimits
    tokens: TokenLimits
    turns: Turns


@asynccontextmanager
async def open_limits(
    config: LimitsConfig,
    registry: CollectorRegistry,
    spending: SpendingSource,
    *,
    redis_url: str | None = None,
    price: Price | None = None,
) -> AsyncIterator[LimitStages]:
    """The stages, and a store as long as the block lasts.

    Args:
        redis_url: None counts in memory. Redis need not be there yet.

    Raises:
        SettingsError: if the URL is none of Redis.
    """
    metrics = LimitMetrics(registry, TenantLabels(config.tenants))
    refuse = config.on_store_failure == "refuse"
    async with AsyncExitStack() as opened:
        redis = None if redis_url is None else _redis(config, metrics, redis_url)
        store = MemoryLimitStore() if redis is None else _shared(config, metrics, redis)
        opened.push_async_callback(store.close)
        leases = None if redis is None else _leases(config, metrics, redis)
        if leases is not None:
            opened.push_async_callback(leases.close)
        budgets = Budgets(spending, metrics, refuse=refuse, leases=leases)
        limits = LimitEnforcer(
            LimitPolicy(config), store, budgets, metrics, price, config.reserve_tokens
        )
        yield LimitStages(
            RequestLimits(limits), TokenLimits(limits), Turns(limits, config.fair_share)
        )


def _redis(config: LimitsConfig, metrics: LimitMetrics, url: str) -> RedisLimitStore:
    try:
        return RedisLimitStore(
            url,
            timeout_s=config.store_timeout_ms / 1000,
            lease_s=config.lease_s,
            failed=metrics.store_failures.inc,
        )
    except ValueError as error:
        reason = redacted(str(error), url)
        raise SettingsError(f"ENGINEHOUSE_REDIS_URL cannot be used: {reason}") from None


def _shared(config: LimitsConfig, metrics: LimitMetrics, redis: RedisLimitStore) -> LimitStore:
    refuse = config.on_store_failure == "refuse"
    how = Degradation(refuse, config.adapters, config.retry_ms / 1000)
    return SharedLimitStore(redis, how, metrics)


def _leases(config: LimitsConfig, metrics: LimitMetrics, redis: RedisLimitStore) -> BudgetLeases:
    return BudgetLeases(
        redis.steps,
        lease_s=config.lease_s,
        retry_s=config.retry_ms / 1000,
        failed=metrics.store_failures.inc,
    )
