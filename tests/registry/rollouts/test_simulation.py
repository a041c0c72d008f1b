from __future__ import annotations

from collections import Counter

import pytest
from enginehouse.perf.rollout_simulation import row, simulate
from enginehouse.perf.rollout_traffic import SCENARIOS, Scenario

EXPECTED = {
    "identical": "promoted",
    "20 % slower": "aborted",
    "errors +1 point": "aborted",
    "empty answers +5 points": "aborted",
    "identical, 1 request a minute": "held",
    "identical, day and night, 2 requests/s": "promoted",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
@pytest.mark.parametrize(
    "rollouts",
    [8, pytest.param(30, marks=pytest.mark.slow(reason="five times the rollouts of the others"))],
)
def test_versions_end_as_they_deserve(scenario: Scenario, rollouts: int) -> None:
    outcomes = [simulate(scenario, seed) for seed in range(rollouts)]
    ends = Counter(outcome.end for outcome in outcomes)
    assert ends[EXPECTED[scenario.name]] >= rollouts - 1
    assert not any(outcome.unmeasured for outcome in outcomes)


def test_the_same_seed_is_the_same_rollout() -> None:
    assert simulate(SCENARIOS[1], 7) == simulate(SCENARIOS[1], 7)
    assert simulate(SCENARIOS[1], 7) != simulate(SCENARIOS[1], 8)


def test_a_row_counts_every_rollout() -> None:
    outcomes = [simulate(SCENARIOS[1], seed) for seed in range(2)]
    cells = row(SCENARIOS[1], outcomes).split(" | ")
    assert cells[1:5] == ["2", "0.00%", "100.00%", "0.00%"]
