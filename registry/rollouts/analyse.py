"""One look (interim analysis) at a rollout step: PASS, FAIL or INCONCLUSIVE for each analysis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from enginehouse.registry.rollouts.evidence import Evidence, RolloutSide
from enginehouse.registry.rollouts.spec import (
    AnalysisSpec,
    Direction,
    RolloutMetric,
    RolloutSpec,
    RolloutStep,
)
from enginehouse.registry.rollouts.state import AnalysisResult, Verdict
from enginehouse.registry.rollouts.statistics import Bound, Ordering, difference_of_shares

from enginehouse.traffic.samples import Feedback, RequestSample

#: Minimum growth of the sample between two looks. Looks with fewer new samples give nearly the same
#: result, and the sequential bound holds for any schedule of looks.
LOOK_GROWTH = 1.2
_FIXED_GROWTH = 2
_APART = "no group of requests (tenant, prompt size) was served by both versions"
_WHOLE = 100
#: Approximate distance of a sequential bound in standard errors at the levels used here. With it,
#: `_Look._target` makes the bound narrowest at the information at which the margin is decided.
_DECISIVE_ERRORS = 4.0
#: dθ/d(log ratio) of two log-normal sides whose logarithms spread by 0.6.
_THETA_SLOPE = 1 / (2 * 0.6 * math.sqrt(math.pi))


def look_due(
    samples_now: int,
    samples_at_last_look: int,
    spec: RolloutSpec | None = None,
    step: RolloutStep | None = None,
) -> bool:
    """Whether the challenger has enough new requests in this step for another look.

    In mode ``sequential`` that is 20 % more than at the last look. In mode ``fixed`` the first look
    is due at the step's `min_samples`, each later one at twice the previous count. A look that
    ended in ERROR does not count: pass the count of the look before it.
    """
    growth, first = LOOK_GROWTH, 1
    if spec is not None and spec.mode == "fixed":
        growth, first = _FIXED_GROWTH, step.min_samples if step is not None else 1
    grown = samples_now > samples_at_last_look and samples_now >= samples_at_last_look * growth
    return grown and samples_now >= first


def analyse(
    spec: RolloutSpec,
    step: RolloutStep,
    champion: Sequence[RequestSample],
    challenger: Sequence[RequestSample],
    champion_feedback: Sequence[Feedback] = (),
    challenger_feedback: Sequence[Feedback] = (),
    *,
    looks: int = 0,
) -> tuple[AnalysisResult, ...]:
    """Run all analyses except those of metric `prometheus` on the samples of the current step.

    Samples of earlier steps are left out. While the weights are constant, both versions see the
    same period and the same mix of requests.

    Args:
        looks: looks already made at this step; mode ``fixed`` allows `spec.looks` of them.
    """
    evidence = Evidence()
    evidence.add_samples(spec, RolloutSide.CHAMPION, champion)
    evidence.add_samples(spec, RolloutSide.CHALLENGER, challenger)
    evidence.add_feedback(RolloutSide.CHAMPION, champion_feedback)
    evidence.add_feedback(RolloutSide.CHALLENGER, challenger_feedback)
    return judge(spec, step, evidence, looks=looks)


def judge(
    spec: RolloutSpec,
    step: RolloutStep,
    evidence: Evidence,
    *,
    looks: int = 0,
    effects: bool = True,
) -> tuple[AnalysisResult, ...]:
    """Like `analyse`, on accumulated evidence.

    Args:
        effects: whether to compute ratios and their bounds for display; verdicts do not need them.
    """
    return tuple(
        _Look(spec, step, analysis, evidence, looks).result(effects=effects)
        for analysis in spec.analyses
        if analysis.metric is not RolloutMetric.PROMETHEUS
    )


def judge_values(
    analysis: AnalysisSpec, champion: float | None, challenger: float | None
) -> AnalysisResult:
    """Compare two values that come without samples, for example from Prometheus.

    With `at_most` only the challenger's value is judged; otherwise its ratio to the champion's.
    None or NaN means that the value could not be measured, and gives ERROR.
    """
    verdict, effect, reason = _value_verdict(analysis, champion, challenger)
    return AnalysisResult(
        name=analysis.title,
        metric=analysis.metric,
        verdict=verdict,
        required=analysis.required,
        champion=champion,
        challenger=challenger,
        effect=effect,
        statistic="value",
        reason=reason,
    )


def _value_verdict(
    analysis: AnalysisSpec, champion: float | None, challenger: float | None
) -> tuple[Verdict, float | None, str]:
    if challenger is None or math.isnan(challenger):
        return Verdict.ERROR, None, "no figure for the challenger"
    if analysis.at_most is not None:
        over = challenger > analysis.at_most
        reason = f"{challenger:.4g}, at most {analysis.at_most:.4g} allowed"
        return (Verdict.FAIL if over else Verdict.PASS), challenger - analysis.at_most, reason
    if champion is None or math.isnan(champion):
        return Verdict.ERROR, None, "no figure for the champion"
    if champion <= 0 or challenger < 0:
        if champion == challenger:
            return Verdict.PASS, 0.0, f"both are {champion:.4g}"
        return Verdict.INCONCLUSIVE, None, f"{challenger:.4g} has no ratio to {champion:.4g}"
    effect = challenger / champion - 1
    harm = {
        Direction.HIGHER_IS_WORSE: effect,
        Direction.LOWER_IS_WORSE: champion / challenger - 1 if challenger else math.inf,
        Direction.EITHER_IS_WORSE: abs(effect),
    }[analysis.direction]
    verdict = Verdict.FAIL if harm > max(analysis.margin, analysis.tolerance) else Verdict.PASS
    reason = f"{challenger:.4g} against {champion:.4g}, {effect:+.1%}; margin {analysis.margin:.1%}"
    return verdict, effect, reason


class _Look:
    """One analysis on one step's evidence."""

    def __init__(
        self,
        spec: RolloutSpec,
        step: RolloutStep,
        analysis: AnalysisSpec,
        evidence: Evidence,
        looks: int,
    ) -> None:
        self._analysis = analysis
        self._evidence = evidence
        self._margin = analysis.margin * step.scrutiny
        planned = spec.looks if spec.mode == "fixed" else None
        self._used_up = planned is not None and looks >= planned
        sides = 2 if analysis.direction is Direction.EITHER_IS_WORSE else 1
        target = self._target()
        self._fail = Bound(spec.alpha / (_tests(spec) * sides), target, planned)
        self._pass = Bound(spec.beta, target, planned)
        self._samples = tuple(evidence.requests(analysis.metric, side) for side in RolloutSide)

    def _target(self) -> float:
        """Information (1/variance) at which the margin is decided."""
        slope = 1.0 if self._analysis.metric.is_rate else _THETA_SLOPE
        wide = self._margin if self._analysis.metric.is_rate else math.log1p(self._margin)
        return (_DECISIVE_ERRORS / (slope * wide)) ** 2

    def result(self, *, effects: bool) -> AnalysisResult:
        """The verdict and its reason."""
        least = self._analysis.min_samples
        if min(self._samples) < least:
            few = f"{self._samples[0]} and {self._samples[1]} samples, {least} a side needed"
            return self._made(Verdict.INCONCLUSIVE, few)
        if self._used_up:
            return self._made(Verdict.INCONCLUSIVE, "all looks of this step are used up")
        return self._shares() if self._analysis.metric.is_rate else self._ordered(effects=effects)

    def _shares(self) -> AnalysisResult:
        """Difference of shares against tolerance and margin."""
        metric, analysis = self._analysis.metric, self._analysis
        sides = self._evidence.sides(metric)
        at_tolerance = difference_of_shares(*sides, analysis.tolerance)
        if math.isinf(at_tolerance.variance):
            return self._made(Verdict.INCONCLUSIVE, _APART)
        value = at_tolerance.value
        low = value - self._fail.half_width(at_tolerance.variance)
        at_margin = difference_of_shares(*sides, self._margin)
        high = value + self._pass.half_width(at_margin.variance)
        champion, challenger = (self._evidence.share(metric, side) for side in RolloutSide)
        verdict = Verdict.INCONCLUSIVE
        if low > analysis.tolerance and challenger >= analysis.floor:
            verdict = Verdict.FAIL
        elif high < self._margin:
            verdict = Verdict.PASS
        reason = (
            f"{challenger:.2%} against {champion:.2%}: {_points(value)} points, "
            f"between {_points(low)} and {_points(high)}; margin {_points(self._margin)}"
        )
        return self._made(
            verdict,
            reason,
            "difference of shares",
            (champion, challenger),
            (value, low, high),
        )

    def _ordered(self, *, effects: bool) -> AnalysisResult:
        """Mann-Whitney on ratios against tolerance and margin."""
        ordering = self._evidence.ordering(self._analysis.metric)
        if not ordering.known:
            return self._made(Verdict.INCONCLUSIVE, _APART)
        verdict = Verdict.INCONCLUSIVE
        tolerance, margin = 1 + self._analysis.tolerance, 1 + self._margin
        signs = {
            Direction.HIGHER_IS_WORSE: (1,),
            Direction.LOWER_IS_WORSE: (-1,),
            Direction.EITHER_IS_WORSE: (1, -1),
        }[self._analysis.direction]
        if any(ordering.excludes(tolerance**s, self._fail, above=s > 0) for s in signs):
            verdict = Verdict.FAIL
        elif all(ordering.excludes(margin**s, self._pass, above=s < 0) for s in signs):
            verdict = Verdict.PASS
        if not effects:
            return self._made(verdict, f"{verdict.value}; ratios were not asked for")
        return self._explained(verdict, ordering)

    def _explained(self, verdict: Verdict, ordering: Ordering) -> AnalysisResult:
        """Result with the ratio and its bounds; a positive effect is worse."""
        mirrored = self._analysis.direction is Direction.LOWER_IS_WORSE
        below, above = (self._pass, self._fail) if mirrored else (self._fail, self._pass)
        middle = ordering.ratio()
        low, high = ordering.ratio(below, upper=False), ordering.ratio(above)
        if mirrored:
            middle, low, high = 1 / middle, 1 / high, 1 / low
        effect = (middle - 1, low - 1, high - 1)
        champion, challenger = ordering.medians()
        reason = (
            f"median {challenger:.3g} against {champion:.3g}: {effect[0]:+.1%}, between "
            f"{effect[1]:+.1%} and {effect[2]:+.1%}; margin {self._margin:.0%}"
        )
        return self._made(verdict, reason, "Mann-Whitney", (champion, challenger), effect)

    def _made(
        self,
        verdict: Verdict,
        reason: str,
        statistic: str = "",
        seen: tuple[float, float] | None = None,
        effect: tuple[float, float, float] | None = None,
    ) -> AnalysisResult:
        return AnalysisResult(
            name=self._analysis.title,
            metric=self._analysis.metric,
            verdict=verdict,
            required=self._analysis.required,
            champion=seen[0] if seen else None,
            challenger=seen[1] if seen else None,
            champion_samples=self._samples[RolloutSide.CHAMPION],
            challenger_samples=self._samples[RolloutSide.CHALLENGER],
            effect=effect[0] if effect else None,
            low=effect[1] if effect else None,
            high=effect[2] if effect else None,
            statistic=statistic,
            reason=reason,
        )


def _tests(spec: RolloutSpec) -> int:
    """Number of tests that share `alpha` (Bonferroni)."""
    analyses = sum(a.metric is not RolloutMetric.PROMETHEUS for a in spec.analyses)
    steps = sum(0 < step.weight < _WHOLE for step in spec.steps)
    return max(1, analyses * steps)


def _points(share: float) -> str:
    return f"{share * _WHOLE:+.2f}"
