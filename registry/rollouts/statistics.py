"""Estimates of harm, with bounds that hold under repeated looks; pure numpy.

Sources: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and
asymptotic confidence sequences", arXiv 2103.06476 (Robbins' normal mixture); DeLong, DeLong and
Clarke-Pearson, Biometrics 44 (1988) 837 (variance of the Mann-Whitney statistic from placements);
Agresti and Caffo, The American Statistician 54 (2000) 280 (adding one event and one non-event).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Width of a histogram bin in natural logarithms: two per cent.
BIN_WIDTH = 0.02
#: log of the smallest value with its own bin: 10 microseconds, or a hundred-thousandth of a token.
#: Smaller values share the first bin.
_LOG_FIRST = math.log(1e-5)
#: The last bin is at 10^7: four months, or ten million tokens.
BINS = math.ceil((math.log(1e7) - _LOG_FIRST) / BIN_WIDTH)
#: Variance of a placement when both versions are alike (a uniform variable).
_PLACEMENT_VARIANCE = 1 / 12
#: Weight of the prior in a stratum's variance, in observations. It matters only in strata with a
#: few requests, whose sample variance may be 0 by chance.
_PRIOR_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class HarmEstimate:
    """An estimate and its variance; the variance is `math.inf` without data."""

    value: float
    variance: float


@dataclass(frozen=True, slots=True)
class Bound:
    """One-sided confidence bound of an estimate.

    Attributes:
        alpha: probability that the true value lies beyond the bound, at any look.
        target: information (1/variance) at which a sequential bound is narrowest. The bound is
            valid at any other amount, but wider.
        looks: None for a bound that holds at all looks; otherwise the number of looks that share
            `alpha`.
    """

    alpha: float
    target: float
    looks: int | None = None

    def half_width(self, variance: float) -> float:
        """Distance from the estimate to the one-sided bound, in the estimate's unit."""
        if not math.isfinite(variance):
            return math.inf
        if self.looks is not None:
            return _quantile(self.alpha / self.looks) * math.sqrt(variance)
        return mixture_half_width(1 / variance, self.alpha, self.target)


@cache
def _quantile(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha)


def mixture_half_width(information: float, alpha: float, target: float) -> float:
    """Robbins' normal-mixture boundary in information time, for one side.

    With ``a = 2·alpha`` and ``rho`` the mixture's precision, the probability that the estimate ever
    deviates by more than ``sqrt((I + rho) / I² · ln((I + rho) / (rho·a²)))`` to either side, at any
    I, is at most a (arXiv 2103.06476, with I for their t and 1/rho for their rho²). By symmetry it
    is alpha for one side. `rho` is chosen by their formula for a target t.

    Args:
        information: 1/variance of the estimate; it grows with the samples.
        alpha: one-sided level, below 0.5.
        target: information at which the boundary is narrowest.
    """
    level = -2 * math.log(2 * alpha)
    rho = target / (level + math.log1p(level))
    total = information + rho
    return math.sqrt(total * (math.log(total / rho) + level)) / information


def difference_of_shares(champion: Floats, challenger: Floats, supposed: float) -> HarmEstimate:
    """Challenger's share minus the champion's, within strata, with Mantel-Haenszel weights.

    The variance is the larger of two. The first uses each version's observed share, shrunk towards
    its share over all strata. The second uses the shares that would hold if the difference were
    `supposed` (a score test, after Farrington and Manning, Statistics in Medicine 9 (1990) 1447,
    with a pooled moment estimate). Without the second, zero events among few requests would exclude
    far too much. Both add one event and one non-event (Agresti and Caffo).

    Args:
        champion: number of requests, and of those with the property, shape [strata, 2].
        challenger: same.
        supposed: the difference to exclude.
    """
    both = (champion[:, 0] > 0) & (challenger[:, 0] > 0)
    if not both.any():
        return HarmEstimate(0.0, math.inf)
    n_c, x_c = champion[both].T
    n_t, x_t = challenger[both].T
    weight = n_t * n_c / (n_t + n_c)
    weight /= weight.sum()
    value = weight @ (x_t / n_t - x_c / n_c)
    seen = weight**2 @ (_share_variance(n_t, x_t) + _share_variance(n_c, x_c))
    requests = n_t.sum() + n_c.sum() + 2
    least = 1 / requests
    pooled = (x_t.sum() + x_c.sum() + 1 - n_t.sum() * supposed) / requests
    share_c = min(max(pooled, least), 1 - least)
    share_t = min(max(share_c + supposed, least), 1 - least)
    if_so = weight**2 @ (share_t * (1 - share_t) / n_t + share_c * (1 - share_c) / n_c)
    return HarmEstimate(float(value), float(max(seen, if_so)))


def _share_variance(n: Floats, x: Floats) -> Floats:
    """Variance of each stratum's share; never 0."""
    whole = (x.sum() + 1) / (n.sum() + 2)
    share = (x + _PRIOR_WEIGHT * whole) / (n + _PRIOR_WEIGHT)
    drawn: Floats = share * (1 - share) / n
    return drawn


def bin_of(values: Floats) -> NDArray[np.int64]:
    """Histogram bin of each value (seconds, tokens, cost); bins have equal width in log scale."""
    logs = (np.log(np.maximum(values, 1e-5)) - _LOG_FIRST) / BIN_WIDTH
    bins: NDArray[np.int64] = np.minimum(logs.astype(np.int64), BINS - 1)
    return bins


class Ordering:
    """Which of two versions tends to have larger values: histograms, compared within strata.

    The challenger's values can be divided by a ratio before the comparison. That shifts its
    histogram, with interpolation between bins, so one histogram serves every tolerance and margin.
    """

    def __init__(self, champion: Floats, challenger: Floats) -> None:
        """Compute the placements of each bin in the other version's distribution.

        Args:
            champion: counts, shape [strata, bins].
            challenger: same shape.
        """
        n_c, n_t = champion.sum(axis=1), challenger.sum(axis=1)
        both = (n_c > 0) & (n_t > 0)
        self.known = bool(both.any())
        if not self.known:
            return
        used = np.flatnonzero(both @ champion + both @ challenger)
        self._first = int(used[0])
        part = slice(self._first, int(used[-1]) + 1)
        self._c, self._t = champion[both, part], challenger[both, part]
        self._n_c, self._n_t = n_c[both], n_t[both]
        weight = self._n_c * self._n_t / (self._n_c + self._n_t)
        self._weight = weight / weight.sum()
        self._bins = self._c.shape[1]
        self._below_c = _placements(self._c, self._n_c)
        self._below_t = _placements(self._t, self._n_t)

    def theta(self, ratio: float) -> HarmEstimate:
        """P(challenger/ratio > champion) + P(equal)/2, stratified: weights n_t·n_c/(n_t + n_c).

        0.5 means no difference; the variance is DeLong's, from the placements of both versions.
        """
        if not self.known:
            return HarmEstimate(0.5, math.inf)
        placed, mean = self._placed(ratio)
        return HarmEstimate(float(self._weight @ mean), self._variance(ratio, placed, mean))

    def excludes(self, ratio: float, bound: Bound, *, above: bool) -> bool:
        """Whether challenger/ratio is certainly larger (`above`) or smaller than the champion."""
        if not self.known:
            return False
        placed, mean = self._placed(ratio)
        beyond = (float(self._weight @ mean) - 0.5) * (1 if above else -1)
        # The sign alone settles most looks, and the variance is the expensive part.
        return beyond > 0 and beyond > bound.half_width(self._variance(ratio, placed, mean))

    def _placed(self, ratio: float) -> tuple[Floats, Floats]:
        """Placements of the challenger's bins, divided by the ratio, and their mean."""
        placed = _moved(self._below_c, -math.log(ratio) / BIN_WIDTH)
        return placed, np.einsum("sk,sk->s", self._t, placed) / self._n_t

    def _variance(self, ratio: float, placed: Floats, mean: Floats) -> float:
        """DeLong's variance from both versions' placements, weighted by stratum."""
        other = _moved(self._below_t, math.log(ratio) / BIN_WIDTH)
        square_t = np.einsum("sk,sk->s", self._t, placed**2) / self._n_t
        square_c = np.einsum("sk,sk->s", self._c, other**2) / self._n_c
        # The other version's mean placement is 1 - mean.
        variance = _mean_variance(square_t - mean**2, self._n_t)
        variance += _mean_variance(square_c - (1 - mean) ** 2, self._n_c)
        return float(self._weight**2 @ variance)

    def ratio(self, bound: Bound | None = None, *, upper: bool = True) -> float:
        """Ratio between the versions: the Hodges-Lehmann estimate on the logarithm.

        It is the ratio by which the challenger has to be divided for theta to be 0.5, found by
        bisection. With a bound: the largest (or smallest) ratio that the bound does not exclude.
        """
        low, high = -float(self._bins), float(self._bins)
        while high - low > 0.1:  # noqa: PLR2004 - bins: a five-hundredth of the ratio
            middle = (low + high) / 2
            at = self.theta(math.exp(middle * BIN_WIDTH))
            value = at.value
            if bound is not None:
                half = bound.half_width(at.variance)
                value += half if upper else -half
            low, high = (middle, high) if value > 0.5 else (low, middle)  # noqa: PLR2004 - alike
        return math.exp((low + high) / 2 * BIN_WIDTH)

    def medians(self) -> tuple[float, float]:
        """Champion's and challenger's median over their common strata, accurate to two per cent."""
        return self._median(self._c), self._median(self._t)

    def _median(self, counts: Floats) -> float:
        below = np.cumsum(counts.sum(axis=0))
        middle = self._first + int(np.searchsorted(below, below[-1] / 2)) + 0.5
        return math.exp(_LOG_FIRST + middle * BIN_WIDTH)


def _placements(counts: Floats, total: Floats) -> Floats:
    """Share of a version's values below each bin, plus half of those in the bin."""
    placed: Floats = (np.cumsum(counts, axis=1) - counts / 2) / total[:, None]
    return placed


def _moved(placements: Floats, by: float) -> Floats:
    """Placements shifted by `by` bins; 0 before the first bin and 1 after the last."""
    whole = math.floor(by)
    part = by - whole
    bins = placements.shape[1]
    read = np.empty((placements.shape[0], bins + 1))
    # Bin k of the result reads bin k + whole, which may lie before the first or after the last.
    before = min(max(-whole, 0), bins + 1)
    after = min(max(bins - whole, before), bins + 1)
    read[:, :before], read[:, after:] = 0.0, 1.0
    read[:, before:after] = placements[:, before + whole : after + whole]
    moved: Floats = read[:, :-1] + part * (read[:, 1:] - read[:, :-1])
    return moved


def _mean_variance(variance: Floats, n: Floats) -> Floats:
    """Variance of a mean of n placements, shrunk towards the variance under no difference."""
    drawn = (variance * n + _PRIOR_WEIGHT * _PLACEMENT_VARIANCE) / (n - 1 + _PRIOR_WEIGHT)
    mean: Floats = drawn / n
    return mean
