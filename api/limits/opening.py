"""Putting limits together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enginehouse.api.limits.budgets import Budgets, Price, Spending
from enginehouse.api.limits.config import LimitsConfig
from enginehouse.api.limits.labels import TenantLabels
from enginehouse.api.limits.memory import MemoryStore
from enginehouse.api.limits.metrics import LimitMetrics
from enginehouse.api.limits.policy import Policy
from enginehouse.api.limits.redis_store import RedisStore
from enginehouse.api.limits.shared_store import Degradation, SharedStore
from enginehouse.api.limits.stages import Limits, RequestLimits, TokenLimits
from enginehouse.api.limits.store import LimitStore
from enginehouse.api.limits.turns import Turns
from prometheus_client import CollectorRegistry

from enginehouse.errors import SettingsError


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
    store = _open_store(config, metrics, redis_url)
    refuse = config.on_store_failure == "refuse"
    budgets = Budgets(spending, metrics, refuse=refuse)
    limits = Limits(Policy(config), store, budgets, metrics, price, config.reserve_tokens)
    try:
        yield LimitStages(
            RequestLimits(limits), TokenLimits(limits), Turns(limits, config.fair_share)
        )
    finally:
        await store.close()


def _open_store(config: LimitsConfig, metrics: LimitMetrics, url: str | None) -> LimitStore:
    if url is None:
        return MemoryStore()
    try:
        redis = RedisStore(
            url,
            timeout_s=config.store_timeout_ms / 1000,
            lease_s=config.lease_s,
            failed=metrics.store_failures.inc,
        )
    except ValueError as error:
        # The URL may hold a password: it is not repeated.
        raise SettingsError(f"ENGINEHOUSE_REDIS_URL cannot be used: {error}") from None
    refuse = config.on_store_failure == "refuse"
    how = Degradation(refuse, config.adapters, config.retry_ms / 1000)
    return SharedStore(redis, how, metrics)
