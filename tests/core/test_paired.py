from __future__ import annotations

import math

import numpy as np
import pytest

from enginehouse.paired import LEAST_PAIRS, Change, PairedRule, estimate, measure_in_turn

_NOISE = 0.05


def _pairs(effect: float, count: int, seed: int) -> list[float]:
    """Log ratios with heavy tails, as a shared machine gives them."""
    chance = np.random.default_rng(seed)
    return list(math.log1p(effect) + _NOISE * chance.standard_t(3, size=count))


def _verdicts(effect: float, trials: int) -> dict[Change, int]:
    rule = PairedRule.finding(0.1)
    counts = dict.fromkeys(Change, 0)
    for seed in range(trials):
        drawn = iter(_pairs(effect, 64, seed))
        found = measure_in_turn(lambda _, drawn=drawn: {"m": next(drawn)}, {"m": rule}, 64)  # type: ignore[misc]
        counts[rule.judge(estimate(found["m"]))] += 1
    return counts


def test_a_change_of_the_margin_is_found_and_none_is_not() -> None:
    assert _verdicts(0.1, 200)[Change.SLOWER] >= 194
    assert _verdicts(-0.1, 200)[Change.FASTER] >= 194
    assert _verdicts(0.0, 200)[Change.SAME] >= 194


def test_one_burst_of_noise_moves_the_estimate_little() -> None:
    quiet = _pairs(0.0, 20, seed=1)
    disturbed = [*quiet[:-2], 3.0, 2.0]
    assert estimate(disturbed).ratio == pytest.approx(estimate(quiet).ratio, rel=0.05)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    inside = sum(
        found.low <= 1.1 <= found.high
        for found in (estimate(_pairs(0.1, 24, seed)) for seed in range(400))
    )
    assert 0.90 <= inside / 400 <= 0.985


def test_too_much_noise_is_uncertain_and_stops_at_the_most_pairs() -> None:
    rule = PairedRule.finding(0.1)
    drawn = iter([0.9, -0.9] * 20)
    found = measure_in_turn(lambda _: {"m": next(drawn)}, {"m": rule}, 20)
    assert len(found["m"]) == 20
    assert rule.judge(estimate(found["m"])) is Change.UNCERTAIN


def test_a_quiet_machine_needs_the_least_pairs() -> None:
    found = measure_in_turn(lambda n: {"m": 0.001 * n}, {"m": PairedRule.finding(0.1)}, 60)
    assert len(found["m"]) == LEAST_PAIRS


def test_a_change_too_large_to_miss_is_found_though_it_is_not_precise() -> None:
    rule = PairedRule.finding(0.1)
    assert rule.judge(estimate([0.7, 0.9, 1.1, 0.6, 1.0, 0.8, 0.7, 1.2])) is Change.SLOWER
    assert rule.judge(estimate([-0.7, -0.9, -1.1, -0.6, -1.0, -0.8, -0.7, -1.2])) is Change.FASTER


def test_too_few_pairs_have_no_estimate() -> None:
    with pytest.raises(ValueError, match="too few"):
        estimate([0.0] * (LEAST_PAIRS - 1))


def test_a_metric_without_a_rule_is_kept_and_not_waited_for() -> None:
    found = measure_in_turn(
        lambda n: {"m": 0.0, "watched": (-1.0) ** n}, {"m": PairedRule.finding(0.1)}, 60
    )
    assert len(found["m"]) == len(found["watched"]) == LEAST_PAIRS
