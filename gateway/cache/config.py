"""How answers are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_MIB = 1024 * 1024


class CacheConfig(BaseModel):
    """Section `cache` of the endpoint's file.

    Attributes:
        enabled: whether answers are kept at all.
        always: whether to keep answers to questions that could have another answer the next time
            (sampled, without a seed) as well.
        shared: whether tenants get each other's answers; otherwise each has its own.
        ttl_s: how long an answer is kept, in seconds.
        store: ``memory`` is one adapter's, ``redis`` is that of all adapters
            (``ENGINEHOUSE_REDIS_URL``).
        most_entries: answers in memory; the one not used for the longest goes first.
        most_bytes: of all answers in memory.
        most_entry_bytes: of one answer; a longer one is not kept.
        redis_timeout_s: for one call of Redis; after that the question is one that was not found.
        single_flight: whether identical questions wait for the first that is being answered.
        most_waiters: that may wait for one answer; more go on themselves.
        most_wait_s: how long they wait before they go on themselves.
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
