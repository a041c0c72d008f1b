from __future__ import annotations

import numpy as np
import pytest
from enginehouse.registry.quality.drift import (
    DriftThresholds,
    DriftVerdict,
    embedding_drift,
    length_drift,
    prometheus_page,
)
from scipy import stats

RNG = np.random.default_rng(11)


def vectors(count: int, shift: float = 0.0) -> np.ndarray:
    """Unit vectors as an embedding model gives them, [count, 64]."""
    rows = np.random.default_rng(count).normal(size=(count, 64))
    rows[:, 0] += shift
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_lengths_are_compared_by_kolmogorov_and_smirnov() -> None:
    before, after = RNG.integers(5, 60, 200), RNG.integers(40, 120, 80)
    found = length_drift(list(before), list(after))

    assert found.verdict is DriftVerdict.DRIFT
    assert found.p_value == pytest.approx(stats.ks_2samp(before, after).pvalue)
    assert found.current_value is not None
    assert found.reference_value is not None
    assert found.current_value > found.reference_value


def test_a_certain_difference_that_is_small_is_no_drift() -> None:
    before = list(RNG.normal(100, 10, 20_000).astype(int))
    after = list(RNG.normal(101, 10, 20_000).astype(int))
    found = length_drift(before, after)

    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.verdict is DriftVerdict.NONE


def test_few_prompts_are_too_few_whatever_they_show() -> None:
    assert length_drift([1] * 49, [900] * 500).verdict is DriftVerdict.TOO_FEW
    assert embedding_drift(vectors(500), vectors(49, 9.0)).verdict is DriftVerdict.TOO_FEW


def test_another_subject_moves_embeddings() -> None:
    found = embedding_drift(vectors(150), vectors(70, 3.0))

    assert found.verdict is DriftVerdict.DRIFT
    assert found.effect is not None
    assert found.low is not None
    assert found.effect > found.low > 0.7


def test_the_same_subject_does_not() -> None:
    assert embedding_drift(vectors(150), vectors(71)).verdict is DriftVerdict.NONE


def test_false_alarms_are_as_rare_as_promised() -> None:
    # At 5 %, 60 comparisons of the same give 3 alarms; more than 9 come once in 1,000 times.
    limits = DriftThresholds(alpha=0.05, auc=0.0, least=20)
    alarms = 0
    for seed in range(60):
        rows = np.random.default_rng(seed).normal(size=(120, 32))
        alarms += embedding_drift(rows[:80], rows[80:], limits).verdict is DriftVerdict.DRIFT
    assert alarms <= 9


def test_metrics_page_has_a_value_for_each_comparison() -> None:
    found = [length_drift([1] * 60, [9] * 60), embedding_drift(vectors(1), vectors(2))]
    page = prometheus_page("smollm2", found, at=12.0)

    assert 'enginehouse_drift{model="smollm2",of="length"} 1' in page
    assert 'of="embedding"' not in page
    assert 'enginehouse_drift_checked_seconds{model="smollm2"} 12' in page
