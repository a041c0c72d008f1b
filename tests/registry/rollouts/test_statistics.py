from __future__ import annotations

import math

import numpy as np
import pytest
from enginehouse.registry.rollouts.statistics import (
    BIN_WIDTH,
    BINS,
    Bound,
    Floats,
    Ordering,
    bin_of,
    difference_of_shares,
    mixture_half_width,
)
from scipy import stats


def histogram(values: Floats, strata: np.ndarray | None = None, rows: int = 1) -> Floats:
    counts = np.zeros((rows, BINS))
    at = strata if strata is not None else np.zeros(values.size, int)
    np.add.at(counts, (at, bin_of(values)), 1)
    return counts


def lognormal(seed: int, size: int, ratio: float = 1.0) -> Floats:
    return ratio * 0.2 * np.exp(0.5 * np.random.default_rng(seed).standard_normal(size))


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.3])
def test_theta_is_mann_whitneys_u_over_all_pairs(ratio: float) -> None:
    champion, challenger = lognormal(1, 400), lognormal(2, 300, ratio)
    theta = Ordering(histogram(champion), histogram(challenger)).theta(1.0)
    # On the same bins it is the very same number.
    test = stats.mannwhitneyu(bin_of(challenger), bin_of(champion))
    assert theta.value == pytest.approx(test.statistic / (400 * 300), abs=1e-12)
    exact = stats.mannwhitneyu(challenger, champion).statistic / (400 * 300)
    assert theta.value == pytest.approx(exact, abs=1e-3)


def test_theta_at_a_ratio_is_that_of_divided_values() -> None:
    champion, challenger = lognormal(3, 2000), lognormal(4, 2000, 1.2)
    theta = Ordering(histogram(champion), histogram(challenger)).theta(1.137)
    exact = stats.mannwhitneyu(challenger / 1.137, champion).statistic / 2000**2
    assert theta.value == pytest.approx(exact, abs=1e-3)


def test_thetas_variance_is_delongs() -> None:
    champion, challenger = lognormal(5, 500), lognormal(6, 400, 1.3)
    below_c = np.array([(champion < t).mean() for t in challenger])
    below_t = np.array([(challenger < c).mean() for c in champion])
    delong = below_c.var(ddof=1) / 400 + below_t.var(ddof=1) / 500
    theta = Ordering(histogram(champion), histogram(challenger)).theta(1.0)
    assert theta.variance == pytest.approx(delong, rel=0.02)


def test_strata_take_a_change_of_mix_away() -> None:
    rng = np.random.default_rng(7)
    big_c, big_t = rng.random(4000) < 0.2, rng.random(4000) < 0.8
    champion = lognormal(8, 4000) * np.where(big_c, 5, 1)
    challenger = lognormal(9, 4000) * np.where(big_t, 5, 1)
    mixed = Ordering(histogram(champion), histogram(challenger)).theta(1.0)
    within = Ordering(
        histogram(champion, big_c.astype(int), 2), histogram(challenger, big_t.astype(int), 2)
    ).theta(1.0)
    assert mixed.value > 0.6
    assert within.value == pytest.approx(0.5, abs=4 * math.sqrt(within.variance))


def test_complete_separation_of_a_few_is_no_certainty() -> None:
    ordering = Ordering(histogram(np.array([1.0])), histogram(np.array([9.0])))
    theta = ordering.theta(1.0)
    assert theta.value == 1.0
    assert math.sqrt(theta.variance) > 0.2


def test_sides_without_a_common_stratum_say_nothing() -> None:
    one, other = (
        histogram(np.ones(9), np.zeros(9, int), 2),
        histogram(np.ones(9), np.ones(9, int), 2),
    )
    ordering = Ordering(one, other)
    assert ordering.theta(1.0).variance == math.inf
    assert not ordering.excludes(1.0, Bound(0.01, 100), above=True)
    shares = np.array([[9.0, 0.0], [0.0, 0.0]])
    assert difference_of_shares(shares, shares[::-1], 0.0).variance == math.inf


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.25, 3.0])
def test_the_ratio_is_found_and_lies_within_its_bounds(ratio: float) -> None:
    ordering = Ordering(histogram(lognormal(10, 5000)), histogram(lognormal(11, 5000, ratio)))
    bound = Bound(0.005, 3000)
    low, high = ordering.ratio(bound, upper=False), ordering.ratio(bound)
    assert ordering.ratio() == pytest.approx(ratio, rel=0.03)
    assert low < ratio < high
    assert high / low < 1.15
    assert ordering.excludes(high * 1.01, bound, above=False)
    assert not ordering.excludes(high / 1.01, bound, above=False)


def test_medians_are_those_of_the_values() -> None:
    values = lognormal(12, 3000)
    champion, challenger = Ordering(histogram(values), histogram(2 * values)).medians()
    assert champion == pytest.approx(np.median(values), rel=BIN_WIDTH)
    assert challenger == pytest.approx(2 * np.median(values), rel=BIN_WIDTH)


def test_values_beyond_the_histogram_land_in_its_ends() -> None:
    assert list(bin_of(np.array([0.0, 1e-9, 1e12]))) == [0, 0, BINS - 1]


def test_the_boundary_is_robbins() -> None:
    # By hand: alpha 0.025, so a = 0.05, and rho = 100 / (2 ln 20 + ln(1 + 2 ln 20)).
    rho = 100 / (2 * math.log(20) + math.log(1 + 2 * math.log(20)))
    by_hand = math.sqrt((50 + rho) / 50**2 * math.log((50 + rho) / (rho * 0.05**2)))
    assert mixture_half_width(50, 0.025, 100) == pytest.approx(by_hand)


def test_the_boundary_is_narrowest_where_it_was_asked_to_be() -> None:
    best = mixture_half_width(1000, 0.01, 1000)
    assert best < mixture_half_width(1000, 0.01, 100)
    assert best < mixture_half_width(1000, 0.01, 10_000)


def test_a_fixed_bound_divides_its_chance_between_looks() -> None:
    once, five = Bound(0.01, 1, 1).half_width(4.0), Bound(0.01, 1, 5).half_width(4.0)
    assert once == pytest.approx(2 * stats.norm.isf(0.01))
    assert five == pytest.approx(2 * stats.norm.isf(0.002))
    assert Bound(0.01, 1).half_width(math.inf) == math.inf


def test_the_sequential_bound_holds_under_constant_peeking() -> None:
    rng = np.random.default_rng(13)
    walks = np.cumsum(rng.standard_normal((4000, 2000)), axis=1)
    n = np.arange(1, 2001)
    half = np.array([mixture_half_width(i, 0.05, 400) for i in n])
    crossed = (walks / n > half).any(axis=1).mean()
    plain = (walks / n > stats.norm.isf(0.05) / np.sqrt(n)).any(axis=1).mean()
    assert crossed < 0.05
    assert plain > 0.2  # what the same peeking does to a test that is made for one look


@pytest.mark.parametrize(
    ("champion", "challenger", "share"),
    [(0.005, 0.015, 0.5), (0.005, 0.085, 0.05), (0.0, 0.01, 0.5), (0.03, 0.11, 0.05)],
    ids=["half", "few", "no events", "many events"],
)
def test_a_version_worse_by_the_margin_hardly_ever_passes_under_peeking(
    champion: float, challenger: float, share: float
) -> None:
    rng = np.random.default_rng(14)
    harm = challenger - champion
    bound, wrong, runs = Bound(0.02, (4 / harm) ** 2), 0, 400
    for _ in range(runs):
        n_t, x_t, n_c, x_c, passed = 0, 0, 0, 0, False
        while n_t < 2000 and not passed:
            more = max(50, n_t // 5)
            others = int(rng.poisson(more * (1 - share) / share))
            n_t, x_t = n_t + more, x_t + rng.binomial(more, challenger)
            n_c, x_c = n_c + others, x_c + rng.binomial(others, champion)
            estimate = difference_of_shares(
                np.array([[n_c, x_c]], float), np.array([[n_t, x_t]], float), harm
            )
            passed = estimate.value + bound.half_width(estimate.variance) < harm
        wrong += passed
    assert wrong / runs <= 0.02


def test_no_events_at_all_exclude_little() -> None:
    none = np.array([[100.0, 0.0]])
    estimate = difference_of_shares(none, none, 0.01)
    assert estimate.value == 0
    assert Bound(0.005, 1, 1).half_width(estimate.variance) > 0.01


def test_differences_of_shares_are_taken_within_strata() -> None:
    champion = np.array([[900.0, 9.0], [100.0, 50.0]])
    challenger = np.array([[100.0, 1.0], [900.0, 450.0]])
    assert difference_of_shares(champion, challenger, 0.0).value == pytest.approx(0.0)
