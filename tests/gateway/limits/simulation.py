"""An engine with slots under a virtual clock: who waits how long, the same in every run."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from enginehouse.gateway.limits.config import FairShareConfig
from enginehouse.gateway.limits.fair_share import FairShare, Ticket


@dataclass
class Arrival:
    """A call that arrives at time `at` and uses `tokens`; `expected` is what it declares."""

    at: float
    tenant: str
    tokens: int = 100
    expected: int | None = None
    weight: float = 1.0
    level: int = 1
    width: int = 1


@dataclass
class Outcome:
    """What became of a call: its wait, or that it was refused with a prediction."""

    arrival: Arrival
    wait_s: float | None = None
    predicted_s: float = 0.0


@dataclass
class Simulation:
    """Each slot does `speed` tokens a second.

    Attributes:
        most_s: a call that would wait longer is refused.
    """

    slots: int
    config: FairShareConfig = field(default_factory=FairShareConfig)
    speed: float = 100.0
    most_s: float = float("inf")

    def __post_init__(self) -> None:
        self.share = FairShare(self.config, self.slots)
        self.served: dict[str, int] = {}

    def run(self, arrivals: Iterable[Arrival], until: float = float("inf")) -> list[Outcome]:
        """All calls, in the order in which they came."""
        order = itertools.count()
        events: list[tuple[float, int, Callable[[float], None]]] = []
        outcomes: list[Outcome] = []
        known: dict[Ticket, Outcome] = {}

        def advance(now: float) -> None:
            while (ticket := self.share.next(now)) is not None:
                assert self.share.used <= self.slots
                outcome = known[ticket]
                outcome.wait_s = now - outcome.arrival.at
                ends = now + outcome.arrival.tokens / self.speed
                heapq.heappush(events, (ends, next(order), lambda at, t=ticket: finish(at, t)))

        def finish(now: float, ticket: Ticket) -> None:
            tokens = known[ticket].arrival.tokens
            self.served[ticket.tenant] = self.served.get(ticket.tenant, 0) + tokens
            self.share.finish(ticket, now, tokens)
            advance(now)

        def arrive(now: float, arrival: Arrival) -> None:
            ticket = Ticket(
                arrival.tenant, arrival.expected or arrival.tokens, arrival.weight, arrival.level,
                arrival.width,
            )  # fmt: skip
            predicted = self.share.predicted_s(ticket, now)
            outcomes.append(Outcome(arrival, predicted_s=predicted))
            if predicted <= self.most_s:
                known[ticket] = outcomes[-1]
                self.share.offer(ticket, now)
                advance(now)

        for arrival in arrivals:
            heapq.heappush(
                events, (arrival.at, next(order), lambda at, a=arrival: arrive(at, a))
            )  # fmt: skip
        while events and events[0][0] <= until:
            at, _, happen = heapq.heappop(events)
            happen(at)
        return outcomes


def waits(outcomes: Iterable[Outcome], tenant: str) -> list[float]:
    """Waits of a tenant's calls that were served, shortest first."""
    found = [o.wait_s for o in outcomes if o.arrival.tenant == tenant and o.wait_s is not None]
    return sorted(found)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return values[int(0.95 * (len(values) - 1))]
