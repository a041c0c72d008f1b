from __future__ import annotations

import numpy as np
import pytest
from enginehouse.registry.quality.pairs import compare, mcnemar
from scipy import stats


def test_mcnemar_is_the_binomial_test_on_rows_that_differ() -> None:
    assert mcnemar(9, 1) == pytest.approx(stats.binomtest(9, 10).pvalue)
    assert mcnemar(0, 0) == 1.0


def test_interval_of_a_paired_difference_nears_walds_with_many_rows() -> None:
    first = [1.0] * 107 + [0.0] * 132 + [1.0] * 905
    second = [0.0] * 107 + [1.0] * 132 + [1.0] * 905
    found = compare("exact", first, second, rate=True)
    half = 1.96 * np.sqrt(132 + 107 - 25**2 / 1144) / 1144

    assert (found.gained, found.lost) == (132, 107)
    assert found.difference == pytest.approx(25 / 1144)
    assert (found.low, found.high) == pytest.approx((25 / 1144 - half, 25 / 1144 + half), abs=5e-4)


def test_rows_without_a_score_on_one_side_are_no_pairs() -> None:
    found = compare("exact", [1.0, None, 0.0, 1.0], [1.0, 1.0, None, 0.0], rate=True)
    assert (found.pairs, found.gained, found.lost) == (2, 0, 1)


def test_no_difference_on_few_rows_is_no_certainty() -> None:
    found = compare("exact", [1.0] * 5, [1.0] * 5, rate=True)
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.2 < 0.2 < found.high


def test_bootstrap_is_seeded_and_finds_a_shift() -> None:
    rng = np.random.default_rng(1)
    first = list(rng.normal(0, 1, 60))
    second = list(np.array(first) + 0.3 + rng.normal(0, 0.5, 60))
    found = compare("words", first, second, rate=False)

    assert found == compare("words", first, second, rate=False)
    assert found.low is not None
    assert found.p_value is not None
    assert found.low > 0
    assert found.p_value == pytest.approx(stats.ttest_rel(second, first).pvalue, abs=0.002)


def test_nothing_to_compare_is_said_without_numbers() -> None:
    found = compare("exact", [None], [1.0], rate=True)
    assert (found.pairs, found.first, found.difference) == (0, None, None)
