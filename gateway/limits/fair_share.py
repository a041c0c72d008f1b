"""Fair-share scheduling of engine slots between tenants. Pure: the time is an argument.

The algorithm is start-time fair queueing. Each tenant has a virtual clock, which advances by the
tokens of its calls divided by its weight; the tenant whose clock is furthest behind is served
next. A new tenant starts at the current virtual time, so that it neither waits behind a backlog
nor has accumulated credit. The tokens of a call are known only when it ends. Until then the clock
is advanced by an estimate: the call's limit times the part that the tenant's calls usually use.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from enginehouse.gateway.limits.config import FairShareConfig
from enginehouse.gateway.limits.forecast import Forecast

#: Priority classes, lowest first.
CLASSES = ("low", "normal", "high")


def level_of(priority: int) -> int:
    """The class of an engine's priority, as an index of `CLASSES`."""
    return 1 + (priority > 0) - (priority < 0)


#: More tokens than any context times any number of answers. Sums of it are still exact as floats.
_MOST_TOKENS = 2**48


@dataclass(slots=True, eq=False)
class Ticket:
    """A call that waits for slots or holds them.

    Attributes:
        cost: tokens that it is expected to take.
        weight: weight of its tenant.
        level: index of `CLASSES`; it rises while the call waits.
        width: slots that it takes.
        at: time at which it was queued.
        since: time at which it reached its level.
        began: time at which it got its slots; None while it waits.
        charged: tokens by which it has advanced its tenant's clock.
    """

    tenant: str
    cost: int
    weight: float = 1.0
    level: int = 1
    width: int = 1
    at: float = 0.0
    since: float = 0.0
    began: float | None = None
    charged: float = 0.0

    def __post_init__(self) -> None:
        """Reject a ticket that cannot be accounted for, so that only its own call fails."""
        if not 0 < self.cost <= _MOST_TOKENS or self.width < 1 or not 0.0 < self.weight < math.inf:
            raise ValueError(
                f"a call of {self.cost} tokens in {self.width} slots cannot be scheduled"
            )


#: Weight of the newest call in the running average of the part of its limit that a tenant uses.
_NEWEST = 1 / 8


@dataclass(slots=True)
class _Tenant:
    """Scheduling state of one tenant.

    Attributes:
        clock: virtual time, in tokens divided by weight.
        taken: running average of used tokens divided by expected tokens.
        used: slots in use.
        tickets: calls that wait or hold slots.
    """

    clock: float = 0.0
    taken: float = 1.0
    used: int = 0
    tickets: int = 0


_Queue = dict[str, deque[Ticket]]


@dataclass(slots=True)
class FairShare:
    """The engine's slots, and one queue for each priority class."""

    config: FairShareConfig
    slots: int
    used: int = 0
    waiting: int = 0
    forecast: Forecast = field(default_factory=Forecast)
    _present: float = 0.0
    _tenants: dict[str, _Tenant] = field(default_factory=dict)
    _queues: tuple[_Queue, ...] = field(default_factory=lambda: tuple({} for _ in CLASSES))
    _about: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def offer(self, ticket: Ticket, now: float) -> None:
        """Queue a call."""
        self._seen(ticket.tenant, now)
        ticket.width = min(ticket.width, self.slots)
        ticket.at = ticket.since = now
        self._tenants.setdefault(ticket.tenant, _Tenant(self._present)).tickets += 1
        self._queues[ticket.level].setdefault(ticket.tenant, deque()).append(ticket)
        self.waiting += 1

    def next(self, now: float) -> Ticket | None:
        """Give slots to the next call and return it; None if no call may start."""
        self._age(now)
        most = self._most(now)
        for queue in reversed(self._queues):
            allowed = [lane[0] for lane in queue.values() if self._allowed(lane[0], most)]
            if allowed:
                ticket = min(allowed, key=self._order)
                # A call that needs more slots than are free blocks the queue, so that it cannot
                # starve.
                return self._begin(ticket, now) if self._fits(ticket) else None
        return None

    def finish(self, ticket: Ticket, now: float, tokens: int) -> None:
        """Release the slots of a call that used `tokens`; 0 if it was not answered."""
        assert ticket.began is not None  # noqa: S101 - it had its turn
        # Slots are released first, so that an error below cannot leak them.
        self._end(ticket, now, tokens)
        if tokens:
            self.forecast.learn(ticket.cost, now - ticket.began, ticket.width)
            tenant = self._tenants[ticket.tenant]
            tenant.taken += _NEWEST * (tokens / ticket.cost - tenant.taken)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Remove a call that has no answer, whether it is queued or holds slots."""
        if ticket.began is None:
            self._remove(ticket)
            self._seen(ticket.tenant, now)
        else:
            self._end(ticket, now, 0)

    def predicted_s(self, ticket: Ticket, now: float) -> float:
        """Predicted wait of a call queued now, in seconds; 0 if nothing was measured yet."""
        most, fits = self._most(now, ticket.tenant), self._fits(ticket)
        allowed = self._allowed(ticket, most)
        if fits and allowed and not self._anybody_before(ticket.level, most):
            return 0.0
        own = sum(waiting.cost for waiting in self._own(ticket))
        all_s = 0.0 if fits else self.forecast.wait_s(self._ahead(ticket, own), self.slots)
        own_s = self.forecast.wait_s(own, most) if own or not allowed else 0.0
        return max(all_s, own_s)

    def depth(self, level: int) -> int:
        """Calls queued in a class."""
        return sum(len(lane) for lane in self._queues[level].values())

    def _anybody_before(self, level: int, most: int) -> bool:
        """Whether a queued call is within its tenant's share and only lacks free slots."""
        lanes = (lane for queue in self._queues[level:] for lane in queue.values())
        return any(self._allowed(lane[0], most) for lane in lanes)

    def _ahead(self, ticket: Ticket, own: int) -> float:
        """Tokens served before a call: its tenant's own, and other tenants' shares meanwhile."""
        total = float(own)
        for level in range(ticket.level, len(CLASSES)):
            for tenant, lane in self._queues[level].items():
                if tenant != ticket.tenant:
                    cost = sum(waiting.cost for waiting in lane)
                    share = (own + ticket.cost) * lane[0].weight / ticket.weight
                    total += min(cost, share) if level == ticket.level else cost
        return total

    def _own(self, ticket: Ticket) -> Iterator[Ticket]:
        """Queued calls of the same tenant that are served before a call."""
        for queue in self._queues[ticket.level :]:
            yield from queue.get(ticket.tenant, ())

    def _age(self, now: float) -> None:
        for level, queue in enumerate(self._queues[:-1]):
            for tenant in list(queue):
                lane = queue[tenant]
                while lane and now - lane[0].since >= self.config.age_s:
                    ticket = lane.popleft()
                    ticket.level, ticket.since = level + 1, now
                    self._queues[level + 1].setdefault(tenant, deque()).append(ticket)
                if not lane:
                    del queue[tenant]

    def _most(self, now: float, coming: str | None = None) -> int:
        """Most slots that one tenant may hold."""
        while self._about and now - next(iter(self._about.values())) > self.config.about_s:
            name, _ = self._about.popitem(last=False)
            if name in self._tenants and not self._tenants[name].tickets:
                del self._tenants[name]
        tenants = len(self._about) + (coming is not None and coming not in self._about)
        share = math.floor(self.slots * self.config.most_share)
        return max(1, share) if tenants > 1 else self.slots

    def _allowed(self, ticket: Ticket, most: int) -> bool:
        tenant = self._tenants.get(ticket.tenant)
        return tenant is None or not tenant.used or tenant.used + ticket.width <= most

    def _fits(self, ticket: Ticket) -> bool:
        return self.used + min(ticket.width, self.slots) <= self.slots

    def _order(self, ticket: Ticket) -> tuple[float, float]:
        return max(self._present, self._tenants[ticket.tenant].clock), ticket.at

    def _begin(self, ticket: Ticket, now: float) -> Ticket:
        tenant = self._tenants[ticket.tenant]
        self._remove(ticket)
        tenant.tickets += 1
        self._present = max(self._present, tenant.clock)
        ticket.charged = ticket.cost * tenant.taken
        tenant.clock = self._present + ticket.charged / ticket.weight
        tenant.used += ticket.width
        self.used += ticket.width
        ticket.began = now
        return ticket

    def _end(self, ticket: Ticket, now: float, tokens: int) -> None:
        tenant = self._tenants[ticket.tenant]
        tenant.clock += (tokens - ticket.charged) / ticket.weight
        tenant.used -= ticket.width
        tenant.tickets -= 1
        self.used -= ticket.width
        self._seen(ticket.tenant, now)

    def _remove(self, ticket: Ticket) -> None:
        queue = self._queues[ticket.level]
        queue[ticket.tenant].remove(ticket)
        if not queue[ticket.tenant]:
            del queue[ticket.tenant]
        self.waiting -= 1
        self._tenants[ticket.tenant].tickets -= 1

    def _seen(self, tenant: str, now: float) -> None:
        self._about[tenant] = now
        self._about.move_to_end(tenant)
