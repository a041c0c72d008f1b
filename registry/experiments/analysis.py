"""Analysis of an experiment from its journals: each arm's metrics, compared with the first arm.

Arms are assigned by unit, so variance is computed over units: a user with a hundred requests
counts as one user. See `statistics` for the formulas.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from enginehouse.registry.experiments import statistics
from enginehouse.registry.experiments.definition import ExperimentMetric, ExperimentSpec
from enginehouse.registry.experiments.statistics import ArmValues, IntervalEstimate

from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.exposures import Exposure

#: Fewer units of an arm than this give no meaningful interval.
_LEAST_UNITS = 2


@dataclass(frozen=True, slots=True)
class ArmCount:
    """Units and requests of one arm.

    Attributes:
        expected: number of units expected from the weights.
        requests: exposed requests that have ended.
        open: exposed requests without a recorded end: in flight, or lost with their adapter.
    """

    name: str
    units: int
    expected: float
    requests: int
    open: int


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric of one arm.

    Attributes:
        estimate: share or mean with its interval; None without enough data.
        difference: from the first arm, with its interval; None for the first arm itself.
        relative: ratio to the first arm less 1; None if it is undefined.
    """

    metric: ExperimentMetric
    arm: str
    units: int
    requests: int
    estimate: IntervalEstimate | None
    difference: IntervalEstimate | None = None
    relative: IntervalEstimate | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentAnalysis:
    """Result of an experiment.

    Attributes:
        sample_ratio_p: p-value of the sample-ratio check: probability of a split this uneven.
        crossed: units that were seen on two arms; they are excluded from all figures.
        needed: units of the first arm that the primary metric needs; None if not known yet.
        warnings: sentences; after a sample-ratio warning the other results are invalid.
    """

    spec: ExperimentSpec
    arms: tuple[ArmCount, ...]
    results: tuple[MetricResult, ...]
    sample_ratio_p: float
    crossed: int
    needed: int | None
    warnings: tuple[str, ...]

    @property
    def sample_ratio_broken(self) -> bool:
        """Whether the sample-ratio check failed, so that the results are invalid."""
        return self.sample_ratio_p < statistics.SRM_ALPHA

    @property
    def enough(self) -> bool:
        """Whether every arm has the units that the primary metric needs."""
        primary = [r for r in self.results if r.metric is self.spec.primary]
        if self.needed is None:
            return False
        first, *others = self.spec.arms
        return all(
            result.units >= self.needed * arm.weight / first.weight
            for arm, result in zip((first, *others), primary, strict=True)
        )

    def of(self, metric: ExperimentMetric) -> list[MetricResult]:
        """Results of one metric, one for each arm, the first arm first."""
        return [result for result in self.results if result.metric is metric]


@dataclass(slots=True)
class _Arm:
    units: set[str] = field(default_factory=set)
    requests: dict[str, str] = field(default_factory=dict)  # request id → unit


def analyse(
    spec: ExperimentSpec,
    exposures: Iterable[Exposure],
    samples: Iterable[RequestSample],
    feedback: Iterable[Feedback],
) -> ExperimentAnalysis:
    """Join exposures, samples and feedback by request and compare the arms.

    Args:
        exposures: of this run of the experiment.
        feedback: later feedback on the same response overrides the fields that it sets.
    """
    arms, crossed = _arms(spec, exposures)
    ended = {sample.request_id: sample for sample in samples}
    said: dict[str, Feedback] = {}
    for word in feedback:
        said[word.request_id] = _merged(said.get(word.request_id), word)
    weights = [arm.weight for arm in spec.arms]
    units = [len(arms[arm.name].units) for arm in spec.arms]
    ratio_p = statistics.sample_ratio_p(units, weights)
    results = tuple(
        result
        for metric in spec.compared
        for result in _compare(spec, metric, _values(spec, metric, arms, ended, said))
    )
    counts = tuple(
        _count(arm.name, arms[arm.name], sum(units) * arm.weight / sum(weights), ended)
        for arm in spec.arms
    )
    needed = required_units(spec, _observed(spec, arms, ended, said))
    return ExperimentAnalysis(
        spec=spec,
        arms=counts,
        results=results,
        sample_ratio_p=ratio_p,
        crossed=crossed,
        needed=needed,
        warnings=_warnings(counts, ratio_p, crossed),
    )


def required_units(spec: ExperimentSpec, first: ArmValues | None = None) -> int | None:
    """Number of units of the first arm that the primary metric needs.

    Args:
        first: observed values of the first arm. Without it the definition's `baseline` and
            `spread` are used; the result is None if those are missing too.
    """
    alpha = spec.alpha / (len(spec.arms) - 1)
    ratio = min(arm.weight for arm in spec.arms[1:]) / spec.arms[0].weight
    rate = spec.primary.is_rate
    mean = spec.baseline if first is None else first.mean
    if mean is None or (rate and not 0 <= mean <= 1):
        return None
    if rate and (first is None or first.independent):
        return statistics.units_for_shares(
            mean, spec.minimum_effect, alpha=alpha, power=spec.power, ratio=ratio
        )
    variance = first.unit_variance if first is not None else (spec.spread or 0.0) ** 2
    effect = spec.minimum_effect if rate else spec.minimum_effect * abs(mean)
    if not variance or not effect:
        return None
    return statistics.units_for_means(variance, effect, alpha=alpha, power=spec.power, ratio=ratio)


def _arms(spec: ExperimentSpec, exposures: Iterable[Exposure]) -> tuple[dict[str, _Arm], int]:
    """Arms without the units that were seen on two arms, and the number of those units."""
    arms = {arm.name: _Arm() for arm in spec.arms}
    seen: dict[str, str] = {}
    crossed: set[str] = set()
    for exposure in exposures:
        if exposure.arm not in arms:
            continue
        if seen.setdefault(exposure.unit, exposure.arm) != exposure.arm:
            crossed.add(exposure.unit)
        arms[exposure.arm].units.add(exposure.unit)
        arms[exposure.arm].requests[exposure.request_id] = exposure.unit
    for arm in arms.values():
        arm.units -= crossed
        arm.requests = {r: unit for r, unit in arm.requests.items() if unit not in crossed}
    return arms, len(crossed)


def _merged(before: Feedback | None, word: Feedback) -> Feedback:
    """Later feedback overrides only the fields that it sets."""
    if before is None or word.at < before.at:
        return word if before is None else _merged(word, before)
    return before.model_copy(update=word.model_dump(exclude_none=True))


def _values(
    spec: ExperimentSpec,
    metric: ExperimentMetric,
    arms: Mapping[str, _Arm],
    ended: Mapping[str, RequestSample],
    said: Mapping[str, Feedback],
) -> dict[str, ArmValues]:
    return {arm.name: _of_arm(metric, arms[arm.name], ended, said) for arm in spec.arms}


def _of_arm(
    metric: ExperimentMetric,
    arm: _Arm,
    ended: Mapping[str, RequestSample],
    said: Mapping[str, Feedback],
) -> ArmValues:
    by_unit: defaultdict[str, list[float]] = defaultdict(list)
    for request_id, unit in arm.requests.items():
        sample = ended.get(request_id)
        value = None if sample is None else metric.value_of(sample, said.get(request_id))
        if value is not None:
            by_unit[unit].append(value)
    sums = np.array([sum(values) for values in by_unit.values()], dtype=np.float64)
    counts = np.array([len(values) for values in by_unit.values()], dtype=np.float64)
    return ArmValues(sums, counts)


def _observed(
    spec: ExperimentSpec,
    arms: Mapping[str, _Arm],
    ended: Mapping[str, RequestSample],
    said: Mapping[str, Feedback],
) -> ArmValues | None:
    """The first arm's primary metric; None with fewer units than an interval needs."""
    first = _of_arm(spec.primary, arms[spec.arms[0].name], ended, said)
    return first if first.units >= _LEAST_UNITS else None


def _compare(
    spec: ExperimentSpec, metric: ExperimentMetric, values: Mapping[str, ArmValues]
) -> Iterable[MetricResult]:
    """Results of one metric for every arm; the arms after the first are compared with it.

    The primary metric's intervals share its alpha between the comparisons (Bonferroni).
    """
    first = values[spec.arms[0].name]
    others = len(spec.arms) - 1
    alpha = spec.alpha / others if metric is spec.primary else spec.alpha
    for position, arm in enumerate(spec.arms):
        own = values[arm.name]
        if own.units < _LEAST_UNITS:
            yield MetricResult(metric, arm.name, own.units, own.requests, None)
            continue
        interval = statistics.share_interval if metric.is_rate else statistics.mean_interval
        estimate = interval(own, spec.alpha)
        if position == 0 or first.units < _LEAST_UNITS:
            yield MetricResult(metric, arm.name, own.units, own.requests, estimate)
            continue
        differ = statistics.share_difference if metric.is_rate else statistics.mean_difference
        difference, p_value = differ(first, own, alpha)
        relative = None if metric.is_rate else statistics.relative_difference(first, own, alpha)
        yield MetricResult(
            metric, arm.name, own.units, own.requests, estimate, difference, relative, p_value
        )


def _count(name: str, arm: _Arm, expected: float, ended: Mapping[str, RequestSample]) -> ArmCount:
    over = sum(request_id in ended for request_id in arm.requests)
    return ArmCount(name, len(arm.units), expected, over, len(arm.requests) - over)


def _warnings(counts: Iterable[ArmCount], ratio_p: float, crossed: int) -> tuple[str, ...]:
    said = []
    if ratio_p < statistics.SRM_ALPHA:
        division = ", ".join(f"{c.name} {c.units} (expected {c.expected:.0f})" for c in counts)
        said.append(
            f"sample-ratio mismatch: {division}, p = {ratio_p:.2g}. Assignment or logging is "
            "broken for one of the arms, so the figures below compare different groups: do not "
            "read them. Look for requests of one arm that are lost, retried or not logged."
        )
    if crossed:
        said.append(
            f"{crossed} units were seen on more than one arm and are left out: their experiment "
            "changed its weights or its salt while it ran."
        )
    lost = sum(count.open for count in counts)
    total = lost + sum(count.requests for count in counts)
    if total and lost / total > 0.01:  # noqa: PLR2004 - one percent
        said.append(
            f"{lost} of {total} exposed requests have no recorded end "
            f"({math.ceil(lost / total * 100)} %): "
            "an adapter was stopped hard, or they still run."
        )
    return tuple(said)
