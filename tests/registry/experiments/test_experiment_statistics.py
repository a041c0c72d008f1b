from __future__ import annotations

import numpy as np
import pytest
from enginehouse.registry.experiments.statistics import (
    ArmValues,
    mean_difference,
    relative_difference,
    sample_ratio_p,
    share_difference,
    share_interval,
    units_for_means,
    units_for_shares,
    wilson,
)
from scipy import stats


def independent(values: list[float] | np.ndarray) -> ArmValues:
    sums = np.asarray(values, dtype=np.float64)
    return ArmValues(sums, np.ones(len(sums)))


def shares(events: int, total: int) -> ArmValues:
    return independent([1.0] * events + [0.0] * (total - events))


def clustered(rng: np.random.Generator, share: float, units: int) -> ArmValues:
    """Users ask 1, 2, 3 … times, and each has a share of their own."""
    counts = rng.geometric(0.4, units)
    own = rng.beta(4 * share, 4 * (1 - share), units)
    return ArmValues(rng.binomial(counts, own).astype(float), counts.astype(float))


@pytest.mark.parametrize(("events", "total"), [(0, 50), (3, 50), (25, 50), (50, 50)])
def test_wilson_is_scipys(events: int, total: int) -> None:
    expected = stats.binomtest(events, total).proportion_ci(0.95, method="wilson")
    assert wilson(events / total, total, 0.05) == pytest.approx((expected.low, expected.high))


def test_newcombe_gives_the_published_interval() -> None:
    # Newcombe (1998), table II: 56/70 less 48/80, method 10 is 0.0524 to 0.3339.
    found, _ = share_difference(shares(48, 80), shares(56, 70), 0.05)
    assert (found.low, found.value, found.high) == pytest.approx((0.0524, 0.2, 0.3339), abs=1e-4)


def test_share_test_is_the_chi_square_test() -> None:
    _, p_value = share_difference(shares(30, 100), shares(45, 110), 0.05)
    table = [[30, 70], [45, 65]]
    assert p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)


def test_difference_of_means_is_welchs_test() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.normal(1, 1, 40), rng.normal(1.4, 2, 70)
    found, p_value = mean_difference(independent(left), independent(right), 0.05)
    expected = stats.ttest_ind(right, left, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_users_who_ask_often_make_no_false_discovery() -> None:
    # 300 experiments without an effect: at 5 %, 15 are expected, more than 30 never are.
    rng = np.random.default_rng(2)
    wrong = sum(
        share_difference(clustered(rng, 0.3, 200), clustered(rng, 0.3, 200), 0.05)[1] < 0.05
        for _ in range(300)
    )
    assert wrong <= 30


def test_counting_requests_instead_of_users_would_be_wrong() -> None:
    arm = clustered(np.random.default_rng(3), 0.3, 500)
    naive = arm.mean * (1 - arm.mean) / arm.requests
    assert arm.mean_variance > 1.5 * naive
    assert arm.effective < arm.requests


def test_no_event_at_all_still_has_a_width() -> None:
    never = ArmValues(np.zeros(50), np.full(50, 3.0))
    assert share_interval(never, 0.05).high == pytest.approx(wilson(0, 50, 0.05)[1])
    difference, p_value = share_difference(never, never, 0.05)
    assert p_value == 1.0
    assert difference.low < 0 < difference.high


def test_ratio_of_means_covers_the_truth() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        first = independent(rng.lognormal(0, 0.5, 100))
        other = independent(1.1 * rng.lognormal(0, 0.5, 100))
        found = relative_difference(first, other, 0.05)
        hits += found is not None and found.low <= 0.1 <= found.high
    assert 270 <= hits <= 297


def test_a_ratio_to_nothing_is_none() -> None:
    assert relative_difference(independent([0.0, 0.0]), independent([1.0, 2.0]), 0.05) is None


def test_sample_size_of_shares_is_the_textbooks() -> None:
    # Fleiss, without continuity correction: 0.30 against 0.35, 80 % power.
    assert units_for_shares(0.30, 0.05, alpha=0.05, power=0.8) == 1377


def test_sample_size_of_shares_has_the_power_that_it_promises() -> None:
    rng = np.random.default_rng(5)
    units = units_for_shares(0.2, 0.1, alpha=0.05, power=0.8)
    found = sum(
        share_difference(
            shares(rng.binomial(units, 0.2), units), shares(rng.binomial(units, 0.3), units), 0.05
        )[1]
        < 0.05
        for _ in range(400)
    )
    assert 0.72 < found / 400 < 0.88


def test_sample_size_of_means_is_the_textbooks() -> None:
    # 2 (1.96 + 0.8416)² variance / effect², with variance 1 and effect 0.5
    assert units_for_means(1.0, 0.5, alpha=0.05, power=0.8) == 63


def test_uneven_arms_need_more_units_in_all() -> None:
    even = units_for_shares(0.3, 0.05, alpha=0.05, power=0.8)
    first = units_for_shares(0.3, 0.05, alpha=0.05, power=0.8, ratio=0.25)
    assert first * 1.25 > 2 * even


def test_an_effect_with_no_room_above_is_looked_for_below() -> None:
    assert units_for_shares(0.99, 0.05, alpha=0.05, power=0.8) > 0


def test_sample_ratio_is_the_chi_square_test() -> None:
    assert sample_ratio_p([480, 520], [1, 1]) == pytest.approx(stats.chisquare([480, 520]).pvalue)
    assert sample_ratio_p([900, 100], [9, 1]) == 1.0
    assert sample_ratio_p([0, 0], [1, 1]) == 1.0
    assert sample_ratio_p([400, 600], [1, 1]) < 1e-9
