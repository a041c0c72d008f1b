"""What tenants and keys may do, as people write it."""

from __future__ import annotations

from typing import Annotated, Literal

from enginehouse.api.call import PRIORITIES
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Count = PositiveInt | None
Money = Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Class = Literal["low", "normal", "high"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyLimits(_Section):
    """What one key may do; None is no limit.

    Attributes:
        requests_per_minute: requests in any 60 s.
        tokens_per_minute: tokens of prompts and answers in any 60 s.
        concurrent: requests in flight.
        context_tokens: most tokens of one prompt.
        daily_tokens: tokens of a UTC day.
        monthly_tokens: tokens of a UTC month.
        daily_cost: of a UTC day, in the price table's currency.
        monthly_cost: of a UTC month, in the price table's currency.
        priority: class of calls that ask for none.
        most_priority: highest class that a call may ask for; at least `priority`.
    """

    requests_per_minute: Count = None
    tokens_per_minute: Count = None
    concurrent: Count = None
    context_tokens: Count = None
    daily_tokens: Count = None
    monthly_tokens: Count = None
    daily_cost: Money = None
    monthly_cost: Money = None
    priority: Class = "normal"
    most_priority: Class = "normal"

    @property
    def usual(self) -> int:
        """The engine's priority of calls that ask for none."""
        return PRIORITIES[self.priority]

    @property
    def highest(self) -> int:
        """The engine's priority that no call exceeds."""
        return max(self.usual, PRIORITIES[self.most_priority])


class TenantLimits(KeyLimits):
    """What one tenant may do, all its keys together; None is no limit.

    Attributes:
        weight: share of the engine relative to other tenants when there is not enough for all.
    """

    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0


class FairShareConfig(_Section):
    """Who goes next when the engine is full.

    Attributes:
        slots: answers that one adapter has in the engine at once; None lets all through. A good
            value is the engine's batch (``ENGINEHOUSE_ENGINE_MAX_BATCH``) times replicas, divided
            by adapters.
        most_share: share of the slots that one tenant may hold while others are about; what is
            left is there at once for whoever comes.
        about_s: how long after its last call a tenant counts as being about, in seconds.
        most_queue_s: longest wait, in seconds; a call that would wait longer is refused at once.
        most_waiting: calls that wait at once, over all tenants.
        age_s: a call that has waited so long goes up one class, in seconds.
    """

    slots: Count = 64
    most_share: Share = 0.75
    about_s: Seconds = 60.0
    most_queue_s: Seconds = 30.0
    most_waiting: PositiveInt = 1024
    age_s: Seconds = 5.0


class LimitsConfig(_Section):
    """The section ``limits`` of the endpoint's file.

    Attributes:
        default: for tenants that are not named; each of them has counts of its own.
        tenants: by name; a field that is not given is taken from `default`.
        keys: by key id; limits of one key within those of its tenant. `priority` and
            `most_priority`, where given, stand in place of the tenant's.
        reserve_tokens: of an answer whose length the caller does not bound: reserved at first,
            what comes beyond is charged as it comes.
        on_store_failure: what happens while Redis is away: ``local`` has each adapter enforce its
            part of the limits, ``refuse`` refuses calls that have limits with 503.
        max_completion_tokens: most tokens of any answer; one that is longer ends there, with
            `finish_reason` ``length``. None sets it so that the slowest answer ends within the
            time of a request, see `most_answer_tokens`.
        adapters: that share one Redis; each enforces 1/`adapters` of a limit while it is away.
        store_timeout_ms: longest wait for Redis, in milliseconds.
        retry_ms: between two tries while Redis is away, in milliseconds.
        lease_s: after which an adapter that was killed holds no places any more, in seconds.
        fair_share: the queue in front of the engine.
    """

    default: TenantLimits = TenantLimits()
    tenants: dict[str, TenantLimits] = Field(default_factory=dict)
    keys: dict[str, KeyLimits] = Field(default_factory=dict)
    reserve_tokens: PositiveInt = 512
    max_completion_tokens: Count = None
    on_store_failure: Literal["local", "refuse"] = "local"
    adapters: PositiveInt = 1
    store_timeout_ms: PositiveInt = 200
    retry_ms: PositiveInt = 1000
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    fair_share: FairShareConfig = FairShareConfig()
