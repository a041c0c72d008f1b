"""Intervals, tests and sample sizes for A/B experiments; pure functions on numpy arrays.

Sources: Newcombe, Statistics in Medicine 17 (1998) 873, method 10, for differences of shares,
with an effective sample size where units repeat (Korn and Graubard, Survey Methodology 24, 1998);
Deng, Knoblich and Lu, KDD 2018 ("Applying the Delta Method in Metric Analytics") for means over
requests when units are users; Fleiss, Levin and Paik, Statistical Methods for Rates and
Proportions (2003), chapter 4, for sample sizes of shares; Fabijan et al., KDD 2019, for the
sample-ratio check.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
#: A sample ratio less likely than this means that assignment or logging is broken.
SRM_ALPHA = 0.001


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmValues:
    """The values of one metric and one arm, summed by unit.

    Attributes:
        sums: sum of the values, shape [units].
        counts: number of requests with a value, shape [units], each at least 1.
    """

    sums: Floats
    counts: Floats

    @property
    def units(self) -> int:
        """Number of units with at least one value."""
        return len(self.sums)

    @property
    def requests(self) -> int:
        """Number of requests with a value."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean over requests; the share for rates."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def independent(self) -> bool:
        """Whether each unit has exactly one value, so that requests are independent."""
        return bool((self.counts == 1).all())

    @property
    def unit_variance(self) -> float:
        """Variance of one unit's contribution to the mean, linearised (delta method).

        With one request for each unit this is the sample variance. The variance of the mean is
        this value divided by the number of units.
        """
        residuals = (self.sums - self.mean * self.counts) / self.counts.mean()
        return float(residuals.var(ddof=1))

    @property
    def mean_variance(self) -> float:
        """Variance of the mean."""
        return self.unit_variance / self.units

    @property
    def effective(self) -> float:
        """For shares: the number of independent requests that would give the same variance.

        If all units are equal (for example no events at all), each unit counts once.
        """
        if self.independent or not self.unit_variance:
            return float(self.units)
        return self.mean * (1 - self.mean) / self.mean_variance


def share_interval(arm: ArmValues, alpha: float) -> IntervalEstimate:
    """A share with Wilson's interval, on the effective sample size."""
    low, high = wilson(arm.mean, arm.effective, alpha)
    return IntervalEstimate(arm.mean, low, high)


def mean_interval(arm: ArmValues, alpha: float) -> IntervalEstimate:
    """A mean with Student's interval over units."""
    half = float(stats.t.ppf(1 - alpha / 2, arm.units - 1)) * math.sqrt(arm.mean_variance)
    return IntervalEstimate(arm.mean, arm.mean - half, arm.mean + half)


def wilson(share: float, total: float, alpha: float) -> tuple[float, float]:
    """Wilson's score interval of a share; `total` may be fractional."""
    z = float(stats.norm.ppf(1 - alpha / 2))
    middle = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    whole = 1 + z * z / total
    # At shares of 0 and 1 the bound equals the share; min and max remove the rounding error.
    return min(share, (middle - half) / whole), max(share, (middle + half) / whole)


def share_difference(
    first: ArmValues, other: ArmValues, alpha: float
) -> tuple[IntervalEstimate, float]:
    """Difference of shares, other minus first, and its p-value.

    The interval is Newcombe's, from Wilson's interval of each arm. The p-value is from the pooled
    score test if requests are independent, otherwise from the delta method.
    """
    p1, p2 = first.mean, other.mean
    (low1, high1), (low2, high2) = (
        wilson(arm.mean, arm.effective, alpha) for arm in (first, other)
    )
    below = math.hypot(p2 - low2, high1 - p1)
    above = math.hypot(high2 - p2, p1 - low1)
    if first.independent and other.independent:
        pooled = float(first.sums.sum() + other.sums.sum()) / (first.units + other.units)
        variance = pooled * (1 - pooled) * (1 / first.units + 1 / other.units)
    else:
        variance = first.mean_variance + other.mean_variance
    p_value = 1.0 if variance == 0 else float(2 * stats.norm.sf(abs(p2 - p1) / variance**0.5))
    return IntervalEstimate(p2 - p1, p2 - p1 - below, p2 - p1 + above), p_value


def mean_difference(
    first: ArmValues, other: ArmValues, alpha: float
) -> tuple[IntervalEstimate, float]:
    """Difference of means, other minus first, and its p-value: Welch's test over units."""
    parts = (first.mean_variance, other.mean_variance)
    difference, error = other.mean - first.mean, math.sqrt(sum(parts))
    if error == 0:
        return IntervalEstimate(difference, difference, difference), float(difference == 0)
    freedom = sum(parts) ** 2 / (
        parts[0] ** 2 / (first.units - 1) + parts[1] ** 2 / (other.units - 1)
    )
    half = float(stats.t.ppf(1 - alpha / 2, freedom)) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return IntervalEstimate(difference, difference - half, difference + half), p_value


def relative_difference(
    first: ArmValues, other: ArmValues, alpha: float
) -> IntervalEstimate | None:
    """Ratio of means less 1, by the delta method on its logarithm; None unless both are > 0."""
    if first.mean <= 0 or other.mean <= 0:
        return None
    log = math.log(other.mean / first.mean)
    error = math.sqrt(first.mean_variance / first.mean**2 + other.mean_variance / other.mean**2)
    half = float(stats.norm.ppf(1 - alpha / 2)) * error
    return IntervalEstimate(math.expm1(log), math.expm1(log - half), math.expm1(log + half))


def units_for_shares(
    baseline: float, effect: float, *, alpha: float, power: float, ratio: float = 1.0
) -> int:
    """Units of the first arm needed to detect a difference of shares, with one request each.

    Args:
        effect: difference of shares; subtracted from the baseline if adding it would exceed 1.
        ratio: units of the other arm for each unit of the first.
    """
    other = baseline + effect if baseline + effect < 1 else baseline - effect
    other = min(max(other, 0.0), 1.0)
    pooled = (baseline + ratio * other) / (1 + ratio)
    null = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio))
    real = math.sqrt(baseline * (1 - baseline) + other * (1 - other) / ratio)
    z_alpha, z_beta = _quantiles(alpha, power)
    return math.ceil(((z_alpha * null + z_beta * real) / abs(other - baseline)) ** 2)


def units_for_means(
    variance: float, effect: float, *, alpha: float, power: float, ratio: float = 1.0
) -> int:
    """Units of the first arm needed to detect a difference of means.

    Args:
        variance: of one unit's value, the same in both arms (`ArmValues.unit_variance`).
        effect: absolute, in the metric's unit.
        ratio: units of the other arm for each unit of the first.
    """
    z_alpha, z_beta = _quantiles(alpha, power)
    return max(2, math.ceil((z_alpha + z_beta) ** 2 * variance * (1 + 1 / ratio) / effect**2))


def _quantiles(alpha: float, power: float) -> tuple[float, float]:
    return float(stats.norm.ppf(1 - alpha / 2)), float(stats.norm.ppf(power))


def sample_ratio_p(units: Sequence[int], weights: Sequence[float]) -> float:
    """Probability of a split at least this uneven under the weights (chi-square test)."""
    total = sum(units)
    if not total:
        return 1.0
    expected = [total * weight / sum(weights) for weight in weights]
    return float(stats.chisquare(units, expected).pvalue)
