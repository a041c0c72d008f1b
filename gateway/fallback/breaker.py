"""A circuit breaker: calls to a target are suspended after too many of them have failed.

::

    closed ──failure rate reached──▶ open ──open_s passed──▶ half-open
      ▲                               ▲                        │  │
      └────────all probes succeed─────┼────────────────────────┘  │
                                      └───────a probe fails───────┘

Pure: time is an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from enginehouse.gateway.fallback.config import BreakerConfig

_SLOTS = 10


class BreakerState(StrEnum):
    """Whether calls are let through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission for one call.

    Attributes:
        era: number of the breaker's state when it was given. A result that arrives in a later
            state is ignored.
    """

    era: int


@dataclass(slots=True)
class _Slot:
    """Results of calls that ended in one tenth of the window."""

    number: int
    succeeded: int = 0
    failed: int = 0


@dataclass(slots=True)
class Breaker:
    """The circuit breaker of one target."""

    config: BreakerConfig
    _state: BreakerState = BreakerState.CLOSED
    _era: int = 0
    _opened_at: float = 0.0
    _probing: int = 0
    _proved: int = 0
    _slots: deque[_Slot] = field(default_factory=deque)

    def state(self, now: float) -> BreakerState:
        """The state at `now`, in seconds of a monotonic clock."""
        if self._state is BreakerState.OPEN and now >= self._opened_at + self.config.open_s:
            self._change(BreakerState.HALF_OPEN)
        return self._state

    def permit(self, now: float) -> Permit | None:
        """Permission to call the target, which must be settled; None while the circuit is open."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            return None
        if state is BreakerState.HALF_OPEN:
            if self._probing + self._proved >= self.config.probes:
                return None
            self._probing += 1
        return Permit(self._era)

    def settle(self, permit: Permit, now: float, *, failed: bool | None) -> None:
        """Record the result of a call; None means that it says nothing about the target."""
        if permit.era != self._era:
            return
        if self._state is BreakerState.HALF_OPEN:
            self._probing -= 1
            if failed:
                self._open(now)
            elif failed is False:
                self._proved += 1
                if self._proved >= self.config.probes:
                    self._change(BreakerState.CLOSED)
        elif failed is not None:
            self._count(now, failed=failed)

    def broke(self, now: float) -> None:
        """Record a failure of a call that was already settled as successful."""
        if self._state is BreakerState.HALF_OPEN:
            self._open(now)
        elif self._state is BreakerState.CLOSED:
            # The call is counted once.
            for slot in reversed(self._slots):
                if slot.succeeded:
                    slot.succeeded -= 1
                    break
            self._count(now, failed=True)

    def _count(self, now: float, *, failed: bool) -> None:
        number = int(now * _SLOTS / self.config.window_s)
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        while self._slots[0].number <= number - _SLOTS:
            self._slots.popleft()
        slot = self._slots[-1]
        slot.failed += failed
        slot.succeeded += not failed
        failures = sum(s.failed for s in self._slots)
        calls = failures + sum(s.succeeded for s in self._slots)
        if (
            failures
            and calls >= self.config.minimum_calls
            and failures >= self.config.failure_rate * calls
        ):
            self._open(now)

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._probing = self._proved = 0
        self._slots.clear()
