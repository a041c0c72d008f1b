"""Section `cache` of the endpoint's file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_MIB = 1024 * 1024


class CacheConfig(BaseModel):
    """Section `cache` of the endpoint's file.

    Attributes:
        enabled: whether answers are cached.
        always: whether to cache answers that may differ on repetition (sampled without a seed) as
            well.
        shared: whether tenants share cached answers; otherwise each tenant has its own.
        ttl_s: how long an answer is cached, in seconds.
        store: ``memory`` belongs to one adapter, ``redis`` is shared by all adapters
            (``ENGINEHOUSE_REDIS_URL``).
        most_entries: most answers in memory; the least recently used one is evicted first.
        most_bytes: most bytes of all answers in memory.
        most_entry_bytes: most bytes of one answer; a longer one is not cached.
        redis_timeout_s: timeout of one call to Redis, in seconds; a timeout counts as a miss.
        single_flight: whether a request waits for an identical one that is being answered.
        most_waiters: most requests that wait for one answer; further ones run by themselves.
        most_wait_s: longest such wait, in seconds; after it a request runs by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    always: bool = False
    shared: bool = False
    ttl_s: float = Field(default=300.0, gt=0)
    store: Literal["memory", "redis"] = "memory"
    most_entries: int = Field(default=10_000, ge=1)
    most_bytes: int = Field(default=256 * _MIB, ge=1)
    most_entry_bytes: int = Field(default=_MIB, ge=1)
    redis_timeout_s: float = Field(default=0.2, gt=0)
    single_flight: bool = True
    most_waiters: int = Field(default=256, ge=0)
    most_wait_s: float = Field(default=30.0, gt=0)
