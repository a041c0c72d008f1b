"""Searches for the highest request rate that meets an SLO.

The rate is doubled until one fails, then bisected on a logarithmic scale. With Poisson arrivals,
queues grow without bound just above the capacity. The best rate is measured a second time. If it
fails then, lower rates must pass twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from enginehouse.perf.measurement import Figures

#: Relative precision of the search; the noise of short runs is larger.
_PRECISION = 0.1
_MOST_DOUBLINGS = 12
#: Largest delay of the load generator: in milliseconds, or as a share of the TTFT limit.
_LATE_MS, _LATE_SHARE = 50.0, 0.1


@dataclass(frozen=True, slots=True)
class LatencyLimits:
    """An SLO on percentiles of the whole run, in milliseconds; None means no limit."""

    ttft_p95_ms: float | None
    inter_token_p95_ms: float | None

    def broken_by(self, figures: Figures) -> str | None:
        """The limit that a run broke, in words; None if it met all of them.

        A run also fails if the load generator was late, because it then limits the measurement.
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
    """The result of one tried rate.

    Attributes:
        rate: requests a second.
        broken: the limit that it broke, in words; None if it met all of them.
    """

    rate: float
    figures: Figures
    broken: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search.

    Attributes:
        best: the highest rate that met the limits; None if none did.
        trials: all tried rates, in order.
    """

    best: Trial | None
    trials: list[Trial]


def search(measure: Callable[[float], Figures], limits: LatencyLimits, first: float) -> Found:
    """Search for the highest rate that meets the limits.

    Args:
        measure: runs one rate and returns its figures.
        limits: the SLO.
        first: first rate to try, in requests a second.
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
    """The highest rate that passes a second time, which excludes a lucky pass.

    Args:
        holds: measures a rate.
        held: rates that passed once, the highest first.
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
    """A rate that passes and one that fails, a factor of two apart; None if not found."""
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
