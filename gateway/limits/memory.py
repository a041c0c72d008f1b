"""Limits of one adapter, counted in its memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from enginehouse.gateway.limits.store import (
    LimitClaim,
    LimitHold,
    LimitKind,
    LimitRefusal,
    LimitStatus,
    RateLimit,
)
from enginehouse.gateway.limits.window import SlidingWindow

#: Claims between two removals of windows that are no longer used.
_SWEEP_TAKES = 1000
#: A concurrency place is freed when a call ends, which cannot be predicted.
_PLACE_RETRY_S = 1.0


class MemoryLimitStore:
    """Sliding windows of rates, and holders of places. Not thread-safe; it never waits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, SlidingWindow] = {}
        self._places: dict[str, set[str]] = {}
        self._takes = 0

    async def take(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        """See `LimitStore`."""
        return self.take_now(wanted)

    def take_now(self, wanted: LimitClaim) -> MemoryLimitHold | LimitRefusal:
        """Take all that is claimed, or nothing."""
        now = self._clock()
        windows = [self._window(rate, now) for rate in wanted.rates]
        for rate, window in zip(wanted.rates, windows, strict=True):
            after_s = window.retry_after_s(rate.amount, now)
            if after_s > 0:
                levels = _levels(wanted.rates, windows, now)
                return LimitRefusal(rate.kind, rate.capacity, rate.amount, after_s, levels)
        for places in wanted.places:
            if len(self._places.get(places.key, ())) >= places.capacity:
                levels = _levels(wanted.rates, windows, now)
                return LimitRefusal(
                    LimitKind.CONCURRENT, places.capacity, 1, _PLACE_RETRY_S, levels
                )
        return self._counted(wanted, windows, now)

    def note(self, wanted: LimitClaim) -> MemoryLimitHold:
        """Count all that is claimed, whether it fits or not."""
        now = self._clock()
        return self._counted(wanted, [self._window(rate, now) for rate in wanted.rates], now)

    def settle(self, rate: RateLimit, part: int, reserved: int, actual: int) -> None:
        """Change a reservation of `reserved` to `actual`; see `SlidingWindow.settle`."""
        now = self._clock()
        self._window(rate, now).settle(part, reserved, actual, now)

    def release(self, wanted: LimitClaim) -> None:
        """Release the concurrency places of a claim."""
        for places in wanted.places:
            holders = self._places.get(places.key, set())
            holders.discard(wanted.holder)
            if not holders:
                self._places.pop(places.key, None)

    async def close(self) -> None:
        """Nothing to do: no write is pending."""

    def _window(self, rate: RateLimit, now: float) -> SlidingWindow:
        self._takes += 1
        if self._takes % _SWEEP_TAKES == 0:
            unused = [key for key, window in self._windows.items() if not window.reset_s(now)]
            for key in unused:
                del self._windows[key]
        window = self._windows.get(rate.key)
        if window is None or window.window_s != rate.window_s:
            window = self._windows[rate.key] = SlidingWindow(rate.capacity, rate.window_s)
        window.capacity = rate.capacity
        return window

    def _counted(
        self, wanted: LimitClaim, windows: Sequence[SlidingWindow], now: float
    ) -> MemoryLimitHold:
        parts = [w.charge(rate.amount, now) for rate, w in zip(wanted.rates, windows, strict=True)]
        for places in wanted.places:
            self._places.setdefault(places.key, set()).add(wanted.holder)
        return MemoryLimitHold(self, wanted, parts, _levels(wanted.rates, windows, now))


def _levels(
    rates: Sequence[RateLimit], windows: Sequence[SlidingWindow], now: float
) -> list[LimitStatus]:
    return [
        LimitStatus(rate.kind, rate.capacity, window.remaining(now), window.reset_s(now))
        for rate, window in zip(rates, windows, strict=True)
    ]


@dataclass(slots=True)
class MemoryLimitHold:
    """See `LimitHold`."""

    store: MemoryLimitStore
    wanted: LimitClaim
    parts: Sequence[int]
    levels: Sequence[LimitStatus]
    _settled: dict[LimitKind, int] = field(default_factory=dict)

    def settle(self, kind: LimitKind, actual: int) -> None:
        """See `LimitHold`."""
        for rate, part in zip(self.wanted.rates, self.parts, strict=True):
            if rate.kind is kind:
                reserved = self._settled.get(kind, rate.amount)
                self.store.settle(rate, part, reserved, actual)
        self._settled[kind] = actual

    def release(self) -> None:
        """See `LimitHold`."""
        self.store.release(self.wanted)

    def undo(self) -> None:
        """Undo the whole claim."""
        for kind in {rate.kind for rate in self.wanted.rates}:
            self.settle(kind, 0)
        self.release()
