"""A sliding-window counter with a fixed number of parts."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

#: Parts of a window. A part expires as a whole, so that an amount counts up to one part longer than
#: the window. The counter never exceeds its limit; it may under-admit by up to 1/60.
PARTS = 60


@dataclass(slots=True)
class _Part:
    index: int
    amount: int


@dataclass(slots=True)
class SlidingWindow:
    """Sum of amounts over a sliding window; `now` is a monotonic time in seconds.

    In any `window_s` seconds at most `capacity` is reserved.
    """

    capacity: int
    window_s: float
    _parts: deque[_Part] = field(default_factory=deque)
    _used: int = 0

    def reserve(self, amount: int, now: float) -> int | None:
        """Take `amount`, at least 0; returns its part of the window, or None if it does not fit."""
        self._expire(now)
        if self._used + amount > self.capacity:
            return None
        return self.charge(amount, now)

    def charge(self, amount: int, now: float) -> int:
        """Take `amount`, whether it fits or not; returns its part of the window."""
        self._expire(now)
        index = math.floor(now / self._part_s)
        if amount > 0:
            if not self._parts or self._parts[-1].index < index:
                self._parts.append(_Part(index, 0))
            self._parts[-1].amount += amount
            self._used += amount
        return index

    def settle(self, part: int, reserved: int, actual: int, now: float) -> None:
        """Change a reservation to the amount that was used.

        A surplus is returned to the part in which it was reserved. An additional amount is charged
        at `now`.

        Args:
            part: the part that `reserve` returned.
        """
        if actual >= reserved:
            self.charge(actual - reserved, now)
            return
        for item in self._parts:
            if item.index == part:
                back = min(item.amount, reserved - actual)
                item.amount -= back
                self._used -= back

    def remaining(self, now: float) -> int:
        """The amount that fits now, at least 0."""
        self._expire(now)
        return max(0, self.capacity - self._used)

    def reset_s(self, now: float) -> float:
        """Time until all amounts have expired, in seconds."""
        self._expire(now)
        newest = next((item.index for item in reversed(self._parts) if item.amount), None)
        return 0.0 if newest is None else self._leaves(newest) - now

    def retry_after_s(self, amount: int, now: float) -> float:
        """Time until `amount` fits, in seconds; a whole window if it never does."""
        self._expire(now)
        excess = self._used + amount - self.capacity
        if excess <= 0:
            return 0.0
        for item in self._parts:
            excess -= item.amount
            if excess <= 0:
                return self._leaves(item.index) - now
        return self.window_s

    @property
    def _part_s(self) -> float:
        return self.window_s / PARTS

    def _leaves(self, index: int) -> float:
        return (index + PARTS + 1) * self._part_s

    def _expire(self, now: float) -> None:
        if not self._parts:
            return
        oldest = math.floor(now / self._part_s) - PARTS
        while self._parts and self._parts[0].index < oldest:
            self._used -= self._parts.popleft().amount
