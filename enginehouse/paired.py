"""Paired comparison of two latencies, measured alternately on one machine.

Noise on a shared machine comes in bursts, so the log ratios are averaged with a trimmed mean that
drops a fifth of the pairs at each end. Its standard error and interval are those of Tukey and
McLaughlin (Sankhya 25, 1963; see Wilcox, Introduction to Robust Estimation, section 4.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

_TRIM = 0.2
_QUANTILE_99 = 2.326
#: Minimum number of pairs for a meaningful interval of the trimmed mean.
LEAST_PAIRS = 8


class Change(StrEnum):
    """How the second compares with the first."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "same"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A ratio of times, second over first; above 1 the second is slower.

    Attributes:
        low, high: 95 % confidence interval.
        error: standard error of the logarithm.
    """

    ratio: float
    low: float
    high: float
    error: float
    pairs: int


def estimate(log_ratios: Sequence[float]) -> RatioEstimate:
    """Estimate the ratio from paired log ratios.

    Raises:
        ValueError: if there are fewer than `LEAST_PAIRS`.
    """
    # Imported here: scipy takes 30 MiB, which an idle controller does not need.
    from scipy.special import stdtrit

    count = len(log_ratios)
    if count < LEAST_PAIRS:
        raise ValueError(f"{count} pairs are too few: {LEAST_PAIRS} are the least")
    ordered = np.sort(np.asarray(log_ratios, dtype=np.float64))
    cut = int(_TRIM * count)
    kept = ordered[cut : count - cut]
    winsorized = np.clip(ordered, kept[0], kept[-1])
    mean = float(kept.mean())
    error = float(winsorized.std(ddof=1)) / ((1 - 2 * _TRIM) * math.sqrt(count))
    reach = float(stdtrit(len(kept) - 1, 0.975)) * error
    return RatioEstimate(
        math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), error, count
    )


@dataclass(frozen=True, slots=True)
class PairedRule:
    """Decides whether a difference counts.

    The threshold is half way to `margin`. With a standard error of `error_wanted`, a difference of
    the whole margin and no difference are then rarely confused.

    Attributes:
        margin: the difference to detect, as a ratio less 1.
        error_wanted: standard error of the log ratio at which measuring stops.
    """

    margin: float
    error_wanted: float

    @classmethod
    def finding(cls, margin: float) -> PairedRule:
        """A rule with 1 % errors of either kind: the threshold is 2.33 standard errors away."""
        return cls(margin, math.log1p(margin) / 2 / _QUANTILE_99)

    def is_precise(self, found: RatioEstimate) -> bool:
        """Whether the estimate is precise enough to stop measuring."""
        return found.error <= self.error_wanted

    def judge(self, found: RatioEstimate) -> Change:
        """The verdict on an estimate; an imprecise one is judged by its interval."""
        line = math.sqrt(1 + self.margin)
        if self.is_precise(found):
            if found.ratio > line:
                return Change.SLOWER
            return Change.FASTER if found.ratio < 1 / line else Change.SAME
        if found.low > line:
            return Change.SLOWER
        if found.high < 1 / line:
            return Change.FASTER
        return Change.SAME if found.low > 1 / line and found.high < line else Change.UNCERTAIN


def measure_in_turn(
    pair: Callable[[int], Mapping[str, float]], rules: Mapping[str, PairedRule], most_pairs: int
) -> dict[str, list[float]]:
    """Measure pairs until every rule's metric is precise, or `most_pairs` is reached.

    Args:
        pair: measures both sides once, given the pair's number from 0: log ratios by metric.
        rules: by metric; metrics without a rule do not prolong the measurement.
    """
    found: dict[str, list[float]] = {}
    for number in range(max(LEAST_PAIRS, most_pairs)):
        for metric, log_ratio in pair(number).items():
            found.setdefault(metric, []).append(log_ratio)
        if number + 1 >= LEAST_PAIRS and all(
            rule.is_precise(estimate(found[metric])) for metric, rule in rules.items()
        ):
            break
    return found
