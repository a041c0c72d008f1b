"""Simulated requests for rollouts: arrays of latencies, errors and lengths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from enginehouse.registry.rollouts.evidence import Evidence, RolloutSide
from enginehouse.registry.rollouts.spec import RolloutMetric
from enginehouse.registry.rollouts.statistics import Floats

DAY_S = 86_400.0
#: Shares of requests by prompt size, at night and by day, and the factors on TTFT of each size.
_SIZES = np.array([0.2, 0.4, 0.3, 0.1])
_NIGHT_SIZES = np.array([0.05, 0.15, 0.4, 0.4])
_SIZE_TTFT = np.array([1.0, 1.3, 2.0, 4.0])
_TTFT_S, _INTER_TOKEN_S, _TOKENS = 0.2, 0.02, 150.0
#: Standard deviations of the logarithms, and the correlation of the two latencies.
_SIGMA, _TOKENS_SIGMA, _CORRELATION = 0.5, 0.6, 0.5
_ERRORS, _EMPTY, _REFUSALS = 0.005, 0.002, 0.01
#: Relative increase of all latencies at the busiest hour.
_BUSY = 0.8


@dataclass(frozen=True, slots=True)
class Scenario:
    """A challenger and its traffic.

    Attributes:
        slowdown: factor on all latencies of the challenger.
        errors, empty: shares of failed and of empty answers of the challenger.
        diurnal: whether traffic, sizes and latencies depend on the time of day.
    """

    name: str
    requests_per_s: float = 20.0
    slowdown: float = 1.0
    errors: float = _ERRORS
    empty: float = _EMPTY
    diurnal: bool = False

    def rate(self, at_s: float) -> float:
        """Requests per second at a time of day."""
        if not self.diurnal:
            return self.requests_per_s
        return self.requests_per_s * (0.2 + 1.6 * float(_day(np.array(at_s))))


SCENARIOS = (
    Scenario("identical"),
    Scenario("20 % slower", slowdown=1.2),
    Scenario("errors +1 point", errors=_ERRORS + 0.01),
    Scenario("empty answers +5 points", empty=_EMPTY + 0.05),
    Scenario("identical, 1 request a minute", requests_per_s=1 / 60),
    Scenario("identical, day and night, 2 requests/s", requests_per_s=2.0, diurnal=True),
)


def draw(
    rng: np.random.Generator,
    scenario: Scenario,
    side: RolloutSide,
    requests: int,
    *,
    from_s: float,
    lasts_s: float,
    into: Evidence,
) -> None:
    """Draw requests that end at random times in a period, and add them to the evidence."""
    if not requests:
        return
    worse = side is RolloutSide.CHALLENGER
    size, busy = _sizes(rng, scenario, rng.uniform(from_s, from_s + lasts_s, requests))
    waits = busy * (scenario.slowdown if worse else 1.0)
    first, second = rng.standard_normal((2, requests))
    other = _CORRELATION * first + math.sqrt(1 - _CORRELATION**2) * second
    ttft = _TTFT_S * _SIZE_TTFT[size] * waits * np.exp(_SIGMA * first)
    inter = _INTER_TOKEN_S * waits * np.exp(_SIGMA * other)
    tokens = np.ceil(_TOKENS * np.exp(_TOKENS_SIGMA * rng.standard_normal(requests)))
    failed = rng.random(requests) < (scenario.errors if worse else _ERRORS)
    empty = rng.random(requests) < (scenario.empty if worse else _EMPTY)
    columns: dict[RolloutMetric, Floats] = {
        RolloutMetric.EMPTY_RATE: empty.astype(float),
        RolloutMetric.REFUSAL_RATE: (rng.random(requests) < _REFUSALS).astype(float),
        RolloutMetric.TTFT: ttft,
        RolloutMetric.INTER_TOKEN: np.where(tokens > 1, inter, np.nan),
        RolloutMetric.TOTAL_TIME: ttft + inter * (tokens - 1),
        RolloutMetric.OUTPUT_LENGTH: tokens,
    }
    ok = {metric: np.where(failed, np.nan, values) for metric, values in columns.items()}
    into.add(side, size, {RolloutMetric.ERROR_RATE: failed.astype(float), **ok})


def _sizes(
    rng: np.random.Generator, scenario: Scenario, at_s: Floats
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """The size class of each request, and the factor of its time of day on its latencies."""
    uniform = rng.random(at_s.size)
    if not scenario.diurnal:
        size = np.searchsorted(np.cumsum(_SIZES), uniform)
        return np.minimum(size, _SIZES.size - 1), np.ones(at_s.size)
    day = _day(at_s)
    shares = np.outer(day, _SIZES) + np.outer(1 - day, _NIGHT_SIZES)
    size = (uniform[:, None] > np.cumsum(shares, axis=1)).sum(axis=1)
    return np.minimum(size, _SIZES.size - 1), 1 + _BUSY * day


def _day(at_s: Floats) -> Floats:
    """0 at midnight, 1 at noon."""
    day: Floats = (1 - np.cos(2 * np.pi * at_s / DAY_S)) / 2
    return day
