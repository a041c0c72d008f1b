"""Section `limits` of the endpoint's file: limits of tenants and keys."""

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
    """Limits of one key; None means no limit.

    Attributes:
        requests_per_minute: requests in any 60 s.
        tokens_per_minute: tokens of prompts and answers in any 60 s.
        concurrent: requests in flight.
        context_tokens: most tokens of one prompt.
        daily_tokens: tokens of a UTC day.
        monthly_tokens: tokens of a UTC month.
        daily_cost: cost of a UTC day, in the price table's currency.
        monthly_cost: cost of a UTC month, in the price table's currency.
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
        """The engine's priority for calls that ask for none."""
        return PRIORITIES[self.priority]

    @property
    def highest(self) -> int:
        """The highest engine priority that a call may get."""
        return max(self.usual, PRIORITIES[self.most_priority])

    @property
    def has_budget(self) -> bool:
        """Whether tokens or cost of a day or a month are limited."""
        budgets = (self.daily_tokens, self.monthly_tokens, self.daily_cost, self.monthly_cost)
        return any(budget is not None for budget in budgets)


class TenantLimits(KeyLimits):
    """Limits of one tenant, over all its keys; None means no limit.

    Attributes:
        weight: share of the engine relative to other tenants while calls are queued.
    """

    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0


class FairShareConfig(_Section):
    """The fair-share queue in front of the engine.

    Attributes:
        slots: answers that one adapter has in the engine at once; None disables the queue. A good
            value is the engine's batch (``ENGINEHOUSE_ENGINE_MAX_BATCH``) times replicas, divided
            by adapters.
        most_share: share of the slots that one tenant may hold while other tenants are active.
            The rest stays free, so that a new tenant starts immediately.
        about_s: how long after its last call a tenant counts as active, in seconds.
        most_queue_s: longest wait, in seconds. A call whose predicted wait is longer is rejected
            immediately.
        most_waiting: most queued calls, over all tenants.
        age_s: time after which a queued call moves up one priority class, in seconds.
    """

    slots: Count = 64
    most_share: Share = 0.75
    about_s: Seconds = 60.0
    most_queue_s: Seconds = 30.0
    most_waiting: PositiveInt = 1024
    age_s: Seconds = 5.0


class LimitsConfig(_Section):
    """Section ``limits`` of the endpoint's file.

    Attributes:
        default: limits of tenants that are not named; each tenant is counted separately.
        tenants: limits by tenant name; a field that is not given is taken from `default`.
        keys: limits by key id, within those of the key's tenant. `priority` and `most_priority`
            of a key replace those of its tenant.
        reserve_tokens: tokens reserved for an answer whose length the caller does not bound.
            Tokens beyond the reservation are charged while they are generated.
        on_store_failure: what happens while Redis is unreachable: with ``local`` each adapter
            enforces its part of the limits, with ``refuse`` calls that have limits get 503.
        max_completion_tokens: most tokens of any answer; a longer one ends there, with
            `finish_reason` ``length``. None sets it so that the slowest answer ends within the
            time of a request, see `AnswerCeiling`.
        adapters: that share one Redis; each enforces 1/`adapters` of a limit while it is away.
        store_timeout_ms: longest wait for Redis, in milliseconds.
        retry_ms: time between two attempts while Redis is unreachable, in milliseconds.
        lease_s: time after which concurrency places of a killed adapter are free again, in
            seconds.
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

    @property
    def has_budgets(self) -> bool:
        """Whether a tenant or a key has a budget."""
        everybody = (self.default, *self.tenants.values(), *self.keys.values())
        return any(one.has_budget for one in everybody)
