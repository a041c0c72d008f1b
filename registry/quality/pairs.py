"""Paired comparison of two versions' scores on the same rows; pure.

Sources: McNemar's exact test (binomial on the rows that differ); Agresti and Min, Statistics in
Medicine 24 (2005) 729, for the interval of a paired difference of shares; the percentile
bootstrap over rows for other scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_RESAMPLES = 10_000
_SEED = 20_240_601
_LEAST_PAIRS = 2


@dataclass(frozen=True, slots=True)
class ScorerComparison:
    """One scorer's result over all rows that both versions have a score for.

    Attributes:
        rate: whether scores are 0 or 1, so that the figures are shares of rows.
        difference: second minus first; `low` and `high` are its 95 % interval.
        gained, lost: rows on which the second version scored higher, or lower.
        p_value: two-sided; None with fewer than two pairs.
    """

    scorer: str
    pairs: int
    rate: bool
    first: float | None
    second: float | None
    gained: int
    lost: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


def compare(
    scorer: str, first: Sequence[float | None], second: Sequence[float | None], *, rate: bool
) -> ScorerComparison:
    """Compare the scores of two versions, row by row."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    left = np.array([a for a, _ in both], dtype=np.float64)
    right = np.array([b for _, b in both], dtype=np.float64)
    gained, lost = int((right > left).sum()), int((right < left).sum())
    if len(both) < _LEAST_PAIRS:
        a, b = (float(left.mean()), float(right.mean())) if both else (None, None)
        return ScorerComparison(scorer, len(both), rate, a, b, gained, lost)
    if rate:
        low, high = _agresti_min(gained, lost, len(both))
        p_value = mcnemar(gained, lost)
    else:
        low, high, p_value = _bootstrap(right - left)
    return ScorerComparison(
        scorer,
        len(both),
        rate,
        float(left.mean()),
        float(right.mean()),
        gained,
        lost,
        float((right - left).mean()),
        low,
        high,
        p_value,
    )


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact p-value; rows on which both agree are not used."""
    if not gained + lost:
        return 1.0
    return float(stats.binomtest(gained, gained + lost).pvalue)


def _agresti_min(gained: int, lost: int, pairs: int) -> tuple[float, float]:
    """95 % interval of the difference: Wald's after adding half a row to each of the four cells."""
    gains, losses, total = gained + 0.5, lost + 0.5, pairs + 2.0
    difference = (gains - losses) / total
    error = math.sqrt(gains + losses - (gains - losses) ** 2 / total) / total
    half = float(stats.norm.ppf(0.975)) * error
    return max(-1.0, difference - half), min(1.0, difference + half)


def _bootstrap(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    """95 % percentile interval of the mean difference and the sign-flip p-value; fixed seed."""
    rng = np.random.default_rng(_SEED)
    count = len(differences)
    means = np.array(
        [differences[rng.integers(count, size=count)].mean() for _ in range(_RESAMPLES)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    flips = rng.choice([-1.0, 1.0], size=(_RESAMPLES, count)) @ differences / count
    reached = int((np.abs(flips) >= abs(differences.mean()) - 1e-12).sum())
    return float(low), float(high), (reached + 1) / (_RESAMPLES + 1)
