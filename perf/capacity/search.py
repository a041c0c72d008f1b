"""The highest rate of requests that keeps an SLO, by search.

Rates are doubled until one fails, then halved between the best and the worst (on a logarithmic
scale), as with Poisson arrivals queues grow without bound just above what is carried. The last
rate that held has to hold once more; where none of them does, lower ones have to hold twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from enginehouse.perf.measurement import Figures

#: Rates closer than this are the same: noise of short runs is larger.
_PRECISION = 0.1
_MOST_DOUBLINGS = 12
#: How late a generator may be: that much, or that share of the limit on TTFT.
_LATE_MS, _LATE_SHARE = 50.0, 0.1


@dataclass(frozen=True, slots=True)
class LatencyLimits:
    """An SLO on percentiles of the whole run, in milliseconds; None always holds."""

    ttft_p95_ms: float | None
    inter_token_p95_ms: float | None

    def broken_by(self, figures: Figures) -> str | None:
        """Which limit a run broke, in words; None if it kept all.

        A generator that was late measured itself: that is no capacity of the server's.
        """
        if figures.failed:
            return f"{figures.failed} of {figures.requests} requests failed"
        if figures.late.p95 > max(_LATE_MS, _LATE_SHARE * (self.ttft_p95_ms or 0.0)):
            return f"the generator was {figures.late.p95:.0f} ms late"
        for limit, found, name in (
            (self.ttft_p95_ms, figures.ttft.p95, "TTFT p95"),
            (self.inter_token_p95_ms, figures.inter_token.p95, "inter-token p95"),
        ):
            if limit is not None and found > limit:
                return f"{name} was {found:.0f} ms, the limit is {limit:.0f} ms"
        return None


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate that was tried.

    Attributes:
        rate: requests a second.
        broken: which limit it broke, in words.
    """

    rate: float
    figures: Figures
    broken: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """The search's result.

    Attributes:
        best: the highest rate that held; None if not even the lowest did.
        trials: all of them, in the order tried.
    """

    best: Trial | None
    trials: list[Trial]


def search(measure: Callable[[float], Figures], limits: LatencyLimits, first: float) -> Found:
    """Search from `first` requests a second.

    Args:
        measure: runs a rate and gives its figures.
    """
    trials: list[Trial] = []

    def holds(rate: float) -> bool:
        figures = measure(rate)
        trials.append(Trial(rate, figures, limits.broken_by(figures)))
        return trials[-1].broken is None

    low, high = _bracket(holds, first)
    while low is not None and high is not None and high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        if holds(middle):
            low = middle
        else:
            high = middle
    held = sorted({trial.rate for trial in trials if trial.broken is None}, reverse=True)
    best = _twice(holds, held)
    confirmed = None if best is None else next(t for t in reversed(trials) if t.rate == best)
    return Found(confirmed, trials)


def _twice(holds: Callable[[float], bool], held: list[float]) -> float | None:
    """The highest rate that holds twice: what held by luck does not.

    Args:
        held: rates that held once, the highest first.
    """
    for rate in held:
        if holds(rate):
            return rate
    if not held:
        return None
    rate = held[-1]
    for _ in range(_MOST_DOUBLINGS):
        rate /= 2
        if holds(rate) and holds(rate):
            return rate
    return None


def _bracket(holds: Callable[[float], bool], first: float) -> tuple[float | None, float | None]:
    """A rate that holds and one that does not, a factor of two apart; None where there is none."""
    rate = first
    if holds(rate):
        for _ in range(_MOST_DOUBLINGS):
            if not holds(2 * rate):
                return rate, 2 * rate
            rate *= 2
        return rate, None
    for _ in range(_MOST_DOUBLINGS):
        if holds(rate / 2):
            return rate / 2, rate
        rate /= 2
    return None, rate
