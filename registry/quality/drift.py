"""Prompt drift: two-sample tests of a current window against a reference window; pure functions.

Sources: Kolmogorov and Smirnov's two-sample test (scipy) for lengths. For embeddings the classifier
two-sample test of Lopez-Paz and Oquab, ICLR 2017: a classifier is trained on one half of both
windows to separate them and evaluated on the other half. The effect is its area under the ROC curve
(0.5: windows cannot be separated). The Mann-Whitney test on the held-out scores has exact size,
because those rows were not used for training. The interval is that of Hanley and McNeil, Radiology
143 (1982) 29.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
_SEED = 20_240_601


class DriftVerdict(StrEnum):
    """Result of comparing two windows."""

    DRIFT = "drift"
    NONE = "none"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class DriftThresholds:
    """When a difference counts as drift: significant, and large enough to matter.

    Attributes:
        alpha: level of each test.
        least: minimum number of prompts in each window.
        distance: minimum Kolmogorov-Smirnov distance, 0 to 1.
        auc: minimum area under the ROC curve.
    """

    alpha: float = 0.01
    least: int = 50
    distance: float = 0.1
    auc: float = 0.6


@dataclass(frozen=True, slots=True)
class Drift:
    """Result of one test.

    Attributes:
        effect: Kolmogorov-Smirnov distance, or area under the ROC curve.
        low, high: 95 % interval of the area; None for lengths.
        reference_value, current_value: medians of lengths; None for embeddings.
    """

    what: str
    statistic: str
    verdict: DriftVerdict
    reference: int
    current: int
    effect: float | None = None
    p_value: float | None = None
    low: float | None = None
    high: float | None = None
    reference_value: float | None = None
    current_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def length_drift(
    reference: Sequence[int], current: Sequence[int], limits: DriftThresholds | None = None
) -> Drift:
    """Compare prompt lengths; any unit, the same for both."""
    limits = limits or DriftThresholds()
    sizes = (len(reference), len(current))
    if min(sizes) < limits.least:
        return Drift("length", "Kolmogorov-Smirnov", DriftVerdict.TOO_FEW, *sizes)
    found = stats.ks_2samp(reference, current)
    effect, p_value = float(found.statistic), float(found.pvalue)
    moved = p_value < limits.alpha and effect >= limits.distance
    return Drift(
        "length",
        "Kolmogorov-Smirnov",
        DriftVerdict.DRIFT if moved else DriftVerdict.NONE,
        *sizes,
        effect=effect,
        p_value=p_value,
        reference_value=float(np.median(reference)),
        current_value=float(np.median(current)),
    )


def embedding_drift(
    reference: Floats, current: Floats, limits: DriftThresholds | None = None
) -> Drift:
    """Compare prompt embeddings, each of shape [prompts, dimensions]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    limits = limits or DriftThresholds()
    sizes = (len(reference), len(current))
    if min(sizes) < limits.least:
        return Drift("embedding", "classifier two-sample", DriftVerdict.TOO_FEW, *sizes)
    rows = np.concatenate([reference, current])
    labels = np.repeat([0, 1], sizes)
    train, test, train_labels, test_labels = train_test_split(
        rows, labels, test_size=0.5, stratify=labels, random_state=_SEED
    )
    # Strong regularization: there are more dimensions than prompts. Classes are balanced because
    # the windows have different sizes.
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
    )
    model.fit(train, train_labels)
    scores = model.decision_function(test)
    before, after = scores[test_labels == 0], scores[test_labels == 1]
    # One-sided: only higher scores for the current window separate the windows.
    found = stats.mannwhitneyu(after, before, alternative="greater")
    auc = float(found.statistic) / (len(before) * len(after))
    low, high = _hanley_mcneil(auc, len(after), len(before))
    moved = float(found.pvalue) < limits.alpha and auc >= limits.auc
    return Drift(
        "embedding",
        "classifier two-sample",
        DriftVerdict.DRIFT if moved else DriftVerdict.NONE,
        *sizes,
        effect=auc,
        p_value=float(found.pvalue),
        low=low,
        high=high,
    )


def _hanley_mcneil(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    first = auc / (2 - auc)
    second = 2 * auc * auc / (1 + auc)
    variance = (
        auc * (1 - auc)
        + (positives - 1) * (first - auc * auc)
        + (negatives - 1) * (second - auc * auc)
    ) / (positives * negatives)
    half = float(stats.norm.ppf(0.975)) * math.sqrt(max(0.0, variance))
    return max(0.0, auc - half), min(1.0, auc + half)


def prometheus_page(model: str, found: Sequence[Drift], at: float) -> str:
    """Results in Prometheus' text format, for node_exporter's textfile collector."""
    lines = [
        "# HELP enginehouse_drift Whether prompts differ from the reference window",
        "# TYPE enginehouse_drift gauge",
    ]
    for one in found:
        if one.verdict is not DriftVerdict.TOO_FEW:
            value = int(one.verdict is DriftVerdict.DRIFT)
            lines.append(f'enginehouse_drift{{model="{model}",of="{one.what}"}} {value}')
    lines += [
        "# HELP enginehouse_drift_effect Distance (length) or area under the curve (embedding)",
        "# TYPE enginehouse_drift_effect gauge",
    ]
    for one in found:
        if one.effect is not None:
            lines.append(
                f'enginehouse_drift_effect{{model="{model}",of="{one.what}"}} {one.effect:.6f}'
            )
    lines += [
        "# HELP enginehouse_drift_checked_seconds When drift was looked for last",
        "# TYPE enginehouse_drift_checked_seconds gauge",
        f'enginehouse_drift_checked_seconds{{model="{model}"}} {at:.0f}',
    ]
    return "\n".join(lines) + "\n"
