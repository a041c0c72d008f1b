"""Putting limits together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from enginehouse.gateway.limits.budgets import Budgets, Price, Spending
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.memory import MemoryStore
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import Policy
from enginehouse.gateway.limits.purses import Purses
from enginehouse.gateway.limits.redis_store import RedisStore
from enginehouse.gateway.limits.shared_store import Degradation, SharedStore
from enginehouse.gateway.limits.stages import Limits, RequestLimits, TokenLimits
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
    spending: Spending,
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
        store = MemoryStore() if redis is None else _shared(config, metrics, redis)
        opened.push_async_callback(store.close)
        purses = None if redis is None else _purses(config, metrics, redis)
        if purses is not None:
            opened.push_async_callback(purses.close)
        budgets = Budgets(spending, metrics, refuse=refuse, purses=purses)
        limits = Limits(Policy(config), store, budgets, metrics, price, config.reserve_tokens)
        yield LimitStages(
            RequestLimits(limits), TokenLimits(limits), Turns(limits, config.fair_share)
        )


def _redis(config: LimitsConfig, metrics: LimitMetrics, url: str) -> RedisStore:
    try:
        return RedisStore(
            url,
            timeout_s=config.store_timeout_ms / 1000,
            lease_s=config.lease_s,
            failed=metrics.store_failures.inc,
        )
    except ValueError as error:
        reason = redacted(str(error), url)
        raise SettingsError(f"ENGINEHOUSE_REDIS_URL cannot be used: {reason}") from None


def _shared(config: LimitsConfig, metrics: LimitMetrics, redis: RedisStore) -> LimitStore:
    refuse = config.on_store_failure == "refuse"
    how = Degradation(refuse, config.adapters, config.retry_ms / 1000)
    return SharedStore(redis, how, metrics)


def _purses(config: LimitsConfig, metrics: LimitMetrics, redis: RedisStore) -> Purses:
    return Purses(
        redis.steps,
        lease_s=config.lease_s,
        retry_s=config.retry_ms / 1000,
        failed=metrics.store_failures.inc,
    )
