"""Whose turn it is: slots of the engine, shared by weight. Pure: time comes in as an argument.

Start-time fair queueing: each tenant has a clock of its own, which goes forward by the tokens of
its calls divided by its weight, and the tenant whose clock is furthest behind goes next. A tenant
that comes anew starts at the present of all, so that it neither waits behind a flood nor has
savings. What a call takes is not known before it ends: until then the clock stands where it would
if the call took the part of its limit that the tenant's calls usually take.
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


#: More than any context times any number of answers; sums of it are still exact as floats.
_MOST_TOKENS = 2**48


@dataclass(slots=True, eq=False)
class Ticket:
    """A call that wants its turn.

    Attributes:
        cost: tokens that it is expected to take.
        weight: of its tenant.
        level: index of `CLASSES`; it rises while the call waits.
        width: slots that it takes.
        at: when it was offered.
        since: when it came to its level.
        began: when it got its turn; None while it waits.
        charged: tokens by which its turn has set the tenant's clock forward.
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
        """Refuse what cannot be accounted for here, where it fails its own call and no other."""
        if not 0 < self.cost <= _MOST_TOKENS or self.width < 1 or not 0.0 < self.weight < math.inf:
            raise ValueError(f"a call of {self.cost} tokens in {self.width} slots has no turn")


#: Weight of the newest call in what a tenant's calls usually take.
_NEWEST = 1 / 8


@dataclass(slots=True)
class _Tenant:
    """How a tenant stands.

    Attributes:
        clock: tokens by weight.
        taken: part of the expected tokens that its calls usually take.
        used: slots.
        tickets: calls that wait or have their turn.
    """

    clock: float = 0.0
    taken: float = 1.0
    used: int = 0
    tickets: int = 0


_Queue = dict[str, deque[Ticket]]


@dataclass(slots=True)
class FairShare:
    """Slots, and the queues in front of them."""

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
        """Put a call into the queue."""
        self._seen(ticket.tenant, now)
        ticket.width = min(ticket.width, self.slots)
        ticket.at = ticket.since = now
        self._tenants.setdefault(ticket.tenant, _Tenant(self._present)).tickets += 1
        self._queues[ticket.level].setdefault(ticket.tenant, deque()).append(ticket)
        self.waiting += 1

    def next(self, now: float) -> Ticket | None:
        """The call whose turn it is, which has it now; None if nobody may go."""
        self._age(now)
        most = self._most(now)
        for queue in reversed(self._queues):
            allowed = [lane[0] for lane in queue.values() if self._allowed(lane[0], most)]
            if allowed:
                ticket = min(allowed, key=self._order)
                # One that needs more slots than are free waits for them: nobody passes it by.
                return self._begin(ticket, now) if self._fits(ticket) else None
        return None

    def finish(self, ticket: Ticket, now: float, tokens: int) -> None:
        """A call has ended and taken so many tokens; 0 where it was not answered."""
        assert ticket.began is not None  # noqa: S101 - it had its turn
        # Its slots come first: whatever fails behind them, they are free.
        self._end(ticket, now, tokens)
        if tokens:
            self.forecast.learn(ticket.cost, now - ticket.began, ticket.width)
            tenant = self._tenants[ticket.tenant]
            tenant.taken += _NEWEST * (tokens / ticket.cost - tenant.taken)

    def leave(self, ticket: Ticket, now: float) -> None:
        """A call goes without an answer, whether it waits or has its turn."""
        if ticket.began is None:
            self._remove(ticket)
            self._seen(ticket.tenant, now)
        else:
            self._end(ticket, now, 0)

    def predicted_s(self, ticket: Ticket, now: float) -> float:
        """How long a call would wait if it were offered now, in seconds; 0 if nobody knows."""
        most, fits = self._most(now, ticket.tenant), self._fits(ticket)
        allowed = self._allowed(ticket, most)
        if fits and allowed and not self._anybody_before(ticket.level, most):
            return 0.0
        own = sum(waiting.cost for waiting in self._own(ticket))
        all_s = 0.0 if fits else self.forecast.wait_s(self._ahead(ticket, own), self.slots)
        own_s = self.forecast.wait_s(own, most) if own or not allowed else 0.0
        return max(all_s, own_s)

    def depth(self, level: int) -> int:
        """Calls that wait in a class."""
        return sum(len(lane) for lane in self._queues[level].values())

    def _anybody_before(self, level: int, most: int) -> bool:
        """Whether somebody waits who may go, and only has too few free slots."""
        lanes = (lane for queue in self._queues[level:] for lane in queue.values())
        return any(self._allowed(lane[0], most) for lane in lanes)

    def _ahead(self, ticket: Ticket, own: int) -> float:
        """Tokens that go before a call: while its tenant's are served, others get their share."""
        total = float(own)
        for level in range(ticket.level, len(CLASSES)):
            for tenant, lane in self._queues[level].items():
                if tenant != ticket.tenant:
                    cost = sum(waiting.cost for waiting in lane)
                    share = (own + ticket.cost) * lane[0].weight / ticket.weight
                    total += min(cost, share) if level == ticket.level else cost
        return total

    def _own(self, ticket: Ticket) -> Iterator[Ticket]:
        """Calls of a call's tenant that go before it."""
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
        """Slots that one tenant may hold."""
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
