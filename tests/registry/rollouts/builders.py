"""Short ways to the values that the rollouts' tests are about."""

from __future__ import annotations

import numpy as np
from enginehouse.registry.rollouts.spec import AnalysisSpec, RolloutMetric, RolloutSpec, RolloutStep
from enginehouse.registry.rollouts.state import (
    AnalysisResult,
    GateResult,
    Observation,
    Phase,
    RolloutStatus,
    Verdict,
    begin,
)

from enginehouse.traffic.samples import Outcome, RequestSample

CHAMPION, CHALLENGER = 1, 2
START = 1000.0
SPEC = RolloutSpec(
    steps=(
        RolloutStep(weight=0, shadow=0.5, min_duration_s=10, min_samples=5),
        RolloutStep(weight=10, min_duration_s=10, min_samples=5),
        RolloutStep(weight=50, min_duration_s=10, min_samples=5),
        RolloutStep(weight=100, min_duration_s=10, min_samples=5),
    ),
    analyses=(
        AnalysisSpec(metric=RolloutMetric.ERROR_RATE, margin=0.1),
        AnalysisSpec(metric=RolloutMetric.TTFT, margin=0.1),
        AnalysisSpec(metric=RolloutMetric.FEEDBACK, margin=0.1, required=False),
    ),
    errors_allowed=2,
    deadline_s=500,
)
#: By when every step of `SPEC` has had its time.
LATER = START + 20


def status(phase: Phase = Phase.PROGRESSING, **values: object) -> RolloutStatus:
    """A rollout that began at `START`; PROGRESSING ones are at the first comparison."""
    fresh = begin("r1", "m", CHAMPION, CHALLENGER, START, "ann", "a test")
    defaults: dict[str, object] = {"phase": phase}
    if phase in {Phase.PROGRESSING, Phase.PAUSED}:
        defaults |= {"step": 1, "weight": 10}
    if phase is Phase.PROMOTING:
        defaults |= {"step": 3, "weight": 100, "sampled": 20, "judged": True}
    return fresh.model_copy(update=defaults | values)


def gate(verdict: Verdict = Verdict.PASS, **values: object) -> GateResult:
    base = GateResult(name="parity", verdict=verdict, reason="0.2 of 0.1")
    return base.model_copy(update=values)


def result(
    name: str = "error_rate", verdict: Verdict = Verdict.PASS, **values: object
) -> AnalysisResult:
    base = AnalysisResult(name=name, metric=name, verdict=verdict, reason="so it was")
    return base.model_copy(update=values)


def look(
    errors: Verdict = Verdict.PASS,
    ttft: Verdict = Verdict.PASS,
    feedback: Verdict = Verdict.INCONCLUSIVE,
    **values: object,
) -> Observation:
    """An observation with a look that has a verdict for each of `SPEC`'s analyses."""
    analyses = (
        result("error_rate", errors),
        result("ttft", ttft),
        result("feedback", feedback, required=False),
    )
    base = Observation(samples=50, looked=True, analyses=analyses)
    return base.model_copy(update=values)


def requests(
    count: int,
    seed: int,
    version: int = CHAMPION,
    ratio: float = 1.0,
    errors: float = 0.0,
    **values: object,
) -> list[RequestSample]:
    """Requests whose waits spread by half a logarithm; `ratio` is on all of them."""
    rng = np.random.default_rng(seed)
    base = RequestSample(at=START, request_id="q", model="m", version=version)
    made = []
    for _ in range(count):
        failed = rng.random() < errors
        size = int(rng.choice([3, 30, 300]))
        waits = ratio * (1 + size / 100) * np.exp(0.5 * rng.standard_normal(3))
        update: dict[str, object] = {
            "outcome": Outcome.ERROR if failed else Outcome.OK,
            "prompt_tokens": size,
            "completion_tokens": int(100 * np.exp(0.5 * rng.standard_normal())) + 1,
            "ttft_s": 0.2 * waits[0],
            "inter_token_s": 0.02 * waits[1],
            "total_s": 2.0 * waits[2],
        }
        made.append(base.model_copy(update=update | values))
    return made
