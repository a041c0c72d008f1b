"""Which limits apply to a caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from enginehouse.api.caller import Caller
from enginehouse.gateway.limits.config import KeyLimits, LimitsConfig, TenantLimits
from enginehouse.gateway.limits.store import ConcurrencyLimit, LimitClaim, LimitKind, RateLimit

#: Callers whose rules are cached.
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Limits of a tenant, or of one of its keys.

    Attributes:
        who: name of the tenant or key for messages.
        prefix: prefix of its keys in a store. Rules of one tenant share the part in ``{…}``, so
            that a Redis cluster keeps them on one node.
        key_id: None if the rule applies to the tenant with all its keys.
    """

    who: str
    prefix: str
    tenant: str
    key_id: str | None
    limits: KeyLimits

    def rate(self, kind: LimitKind, amount: int) -> RateLimit | None:
        """The rate limit of a kind with the amount to take; None if it has no limit."""
        limits = self.limits
        capacity = (
            limits.requests_per_minute if kind is LimitKind.REQUESTS else limits.tokens_per_minute
        )
        return (
            None if capacity is None else RateLimit(kind, f"{self.prefix}:{kind}", capacity, amount)
        )

    @property
    def places(self) -> ConcurrencyLimit | None:
        """The limit on requests in flight; None if it has no limit."""
        capacity = self.limits.concurrent
        return None if capacity is None else ConcurrencyLimit(f"{self.prefix}:concurrent", capacity)


class LimitPolicy:
    """The configuration, with unset fields of each tenant filled in from `default`."""

    def __init__(self, config: LimitsConfig) -> None:
        self._default = config.default
        self._tenants = {
            name: TenantLimits.model_validate(
                {**config.default.model_dump(), **limits.model_dump(exclude_unset=True)}
            )
            for name, limits in config.tenants.items()
        }
        self._keys = config.keys
        self._ready = lru_cache(_MOST_KNOWN)(self._made)

    def tenant(self, name: str) -> TenantLimits:
        """Limits of a tenant."""
        return self._tenants.get(name, self._default)

    def rules(self, caller: Caller) -> tuple[LimitRule, ...]:
        """All rules that apply to a caller: the tenant's, then the key's."""
        return self._ready(caller.tenant, caller.key_id)

    def _made(self, tenant: str, key_id: str | None) -> tuple[LimitRule, ...]:
        prefix = f"enginehouse:limits:{{{quote(tenant, safe='')}}}"
        own = LimitRule(f"tenant {tenant!r}", prefix, tenant, None, self.tenant(tenant))
        limits = self._keys.get(key_id) if key_id else None
        if limits is None:
            return (own,)
        return (own, LimitRule(f"key {key_id!r}", f"{prefix}:key:{key_id}", tenant, key_id, limits))

    def priority(self, caller: Caller, wish: int) -> int:
        """The priority of a call, at most the highest allowed; a `wish` of 0 is none."""
        tenant, key = self.tenant(caller.tenant), self._keys.get(caller.key_id or "")
        given = key.model_fields_set if key else set()
        usual = key.usual if key and "priority" in given else tenant.usual
        highest = tenant.highest
        if key and given & {"priority", "most_priority"}:
            highest = max(usual, key.highest)
        return min(wish or usual, highest)


def wanted(
    holder: str, rules: Sequence[LimitRule], amounts: dict[LimitKind, int], *, place: bool = False
) -> LimitClaim:
    """The claim of one call under some rules.

    Args:
        amounts: amount for each kind of rate; kinds that are missing are not claimed.
        place: whether to claim a place among requests in flight.
    """
    rates = [rule.rate(kind, amount) for kind, amount in amounts.items() for rule in rules]
    places = [rule.places for rule in rules] if place else []
    return LimitClaim(
        holder,
        [rate for rate in rates if rate is not None],
        [item for item in places if item is not None],
    )
