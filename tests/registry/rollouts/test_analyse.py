from __future__ import annotations

import pytest
from enginehouse.registry.rollouts.analyse import analyse, judge, judge_values, look_due
from enginehouse.registry.rollouts.evidence import Evidence, RolloutSide
from enginehouse.registry.rollouts.spec import (
    AnalysisSpec,
    Direction,
    RolloutMetric,
    RolloutSpec,
    RolloutStep,
)
from enginehouse.registry.rollouts.state import AnalysisResult, Verdict

from enginehouse.traffic.samples import Feedback, Outcome, RequestSample
from tests.registry.rollouts.builders import CHALLENGER, CHAMPION, requests

STEP = RolloutStep(weight=50)
COUNT = 2500
HIGHER, LOWER, EITHER = (
    Direction.HIGHER_IS_WORSE,
    Direction.LOWER_IS_WORSE,
    Direction.EITHER_IS_WORSE,
)


def spec_of(metric: RolloutMetric, **values: object) -> RolloutSpec:
    given = {"metric": metric, "margin": 0.15, "tolerance": 0.05} | values
    return RolloutSpec(analyses=(AnalysisSpec.model_validate(given),))


def judged(
    spec: RolloutSpec,
    champion: list[RequestSample],
    challenger: list[RequestSample],
    step: RolloutStep = STEP,
    looks: int = 0,
) -> AnalysisResult:
    (only,) = analyse(spec, step, champion, challenger, looks=looks)
    return only


def served(ratio: float = 1.0, count: int = COUNT, **values: object) -> list[RequestSample]:
    return requests(count, 2, CHALLENGER, ratio, **values)  # type: ignore[arg-type]


BASE = requests(COUNT, 1, CHAMPION)


@pytest.mark.parametrize(
    ("direction", "ratio", "verdict"),
    [
        (HIGHER, 1.0, Verdict.PASS),
        (HIGHER, 0.5, Verdict.PASS),
        (HIGHER, 1.1, Verdict.INCONCLUSIVE),
        (HIGHER, 1.3, Verdict.FAIL),
        (LOWER, 1.0, Verdict.PASS),
        (LOWER, 1.5, Verdict.PASS),
        (LOWER, 0.75, Verdict.FAIL),
        (EITHER, 1.0, Verdict.PASS),
        (EITHER, 1.3, Verdict.FAIL),
        (EITHER, 0.75, Verdict.FAIL),
    ],
)
@pytest.mark.parametrize("mode", ["sequential", "fixed"])
def test_waits_are_judged_by_direction(
    direction: Direction, ratio: float, verdict: Verdict, mode: str
) -> None:
    spec = spec_of(RolloutMetric.TTFT, direction=direction).model_copy(update={"mode": mode})
    count = 500 if verdict is Verdict.INCONCLUSIVE else COUNT
    found = judged(spec, BASE, served(ratio, count))
    assert found.verdict is verdict
    assert found.low is not None
    assert found.effect is not None
    assert found.high is not None
    true = 1 / ratio - 1 if direction is LOWER else ratio - 1
    assert found.low < true < found.high
    assert found.effect == pytest.approx(true, abs=0.1)


def test_a_result_explains_itself() -> None:
    found = judged(spec_of(RolloutMetric.TTFT), BASE, served(1.3))
    assert (found.champion_samples, found.challenger_samples) == (COUNT, COUNT)
    assert found.statistic == "Mann-Whitney"
    assert "margin 15%" in found.reason
    assert found.champion is not None
    assert found.challenger is not None
    assert found.challenger > found.champion


@pytest.mark.parametrize(
    ("champion", "challenger", "verdict"),
    [
        (0.01, 0.01, Verdict.PASS),
        (0.01, 0.055, Verdict.INCONCLUSIVE),
        (0.01, 0.15, Verdict.FAIL),
        (0.15, 0.01, Verdict.PASS),
    ],
)
def test_error_rates(champion: float, challenger: float, verdict: Verdict) -> None:
    spec = spec_of(RolloutMetric.ERROR_RATE, margin=0.05, tolerance=0.05)
    found = judged(
        spec, requests(COUNT, 3, errors=champion), served(errors=challenger, count=COUNT)
    )
    assert found.verdict is verdict
    assert found.challenger == pytest.approx(challenger, abs=0.03)
    assert "points" in found.reason


def test_a_share_below_the_floor_never_fails() -> None:
    champion, challenger = BASE, served(errors=0.1)
    floor = spec_of(RolloutMetric.ERROR_RATE, margin=0.01, tolerance=0, floor=0.2)
    bare = spec_of(RolloutMetric.ERROR_RATE, margin=0.01, tolerance=0)
    assert judged(bare, champion, challenger).verdict is Verdict.FAIL
    assert judged(floor, champion, challenger).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("metric", [RolloutMetric.TTFT, RolloutMetric.ERROR_RATE])
def test_too_few_of_either_side_never_pass_and_never_fail(metric: RolloutMetric) -> None:
    spec = spec_of(metric)
    bad = served(9.0, 49, errors=0.0 if metric is RolloutMetric.TTFT else 1.0)
    assert judged(spec, BASE, bad).verdict is Verdict.INCONCLUSIVE
    assert judged(spec, bad, BASE).verdict is Verdict.INCONCLUSIVE
    found = judged(spec, [], [])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "0 and 0 samples" in found.reason


def test_scrutiny_widens_the_margin_of_a_step() -> None:
    spec = spec_of(RolloutMetric.TTFT)
    slower = served(1.1, 500)
    assert judged(spec, BASE, slower).verdict is Verdict.INCONCLUSIVE
    assert judged(spec, BASE, slower, RolloutStep(weight=5, scrutiny=8)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "values",
    [
        {"pinned": True},
        {"shadow": True},
        {"outcome": Outcome.REFUSED},
        {"outcome": Outcome.CANCELLED},
        {"outcome": Outcome.OVERLOADED},
    ],
)
@pytest.mark.parametrize("metric", [m for m in RolloutMetric if m is not RolloutMetric.PROMETHEUS])
def test_what_says_nothing_of_the_version_is_not_counted(
    metric: RolloutMetric, values: dict[str, object]
) -> None:
    found = judged(spec_of(metric), BASE[:60], served(9.0, 60, **values))
    assert found.challenger_samples == 0


def test_failed_requests_have_no_time_and_no_length() -> None:
    half = served(count=100, outcome=Outcome.ERROR) + served(count=70)
    assert judged(spec_of(RolloutMetric.ERROR_RATE), BASE, half).challenger_samples == 170
    for metric in (
        RolloutMetric.TTFT,
        RolloutMetric.OUTPUT_LENGTH,
        RolloutMetric.COST,
        RolloutMetric.EMPTY_RATE,
    ):
        assert judged(spec_of(metric), BASE, half).challenger_samples == 70


def test_requests_without_the_metric_do_not_count() -> None:
    found = judged(spec_of(RolloutMetric.INTER_TOKEN), BASE, served(inter_token_s=None))
    assert found.challenger_samples == 0
    assert found.verdict is Verdict.INCONCLUSIVE


def test_empty_answers_and_refusals_are_shares() -> None:
    for metric, field in (
        (RolloutMetric.EMPTY_RATE, "empty"),
        (RolloutMetric.REFUSAL_RATE, "refusal"),
    ):
        all_of_them = served(count=200, **{field: True})
        found = judged(spec_of(metric), BASE, all_of_them)
        assert found.verdict is Verdict.FAIL
        assert (found.champion, found.challenger) == (0.0, 1.0)


def test_cost_comes_from_prompts_answers_and_prices() -> None:
    spec = spec_of(RolloutMetric.COST).model_copy(
        update={"price_prompt": 2.0, "price_completion": 10.0}
    )
    same = {"prompt_tokens": 1000, "completion_tokens": 200}
    dear = {"prompt_tokens": 1000, "completion_tokens": 300}
    found = judged(spec, requests(200, 1, **same), served(count=200, **dear))
    assert found.verdict is Verdict.FAIL
    assert found.champion == pytest.approx(0.004, rel=0.02)
    assert found.challenger == pytest.approx(0.005, rel=0.02)


def test_lengths_with_a_cap_are_tied_not_worse() -> None:
    capped = spec_of(RolloutMetric.OUTPUT_LENGTH, margin=0.3, tolerance=0.1, direction=EITHER)
    found = judged(
        capped, requests(500, 1, completion_tokens=128), served(count=500, completion_tokens=128)
    )
    assert found.verdict is Verdict.PASS
    assert found.effect == pytest.approx(0, abs=0.02)


def test_a_change_of_mix_is_no_harm_within_buckets() -> None:
    small = served(count=600, prompt_tokens=3, ttft_s=0.1)
    large = served(count=600, prompt_tokens=900, ttft_s=5.0)
    champion, challenger = small + large[:100], small[:100] + large
    assert judged(spec_of(RolloutMetric.TTFT), champion, challenger).verdict is Verdict.PASS
    blind = spec_of(RolloutMetric.TTFT).model_copy(update={"buckets": ()})
    assert judged(blind, champion, challenger).verdict is Verdict.FAIL


def test_tenants_can_be_buckets_and_sides_without_common_ones_say_nothing() -> None:
    spec = spec_of(RolloutMetric.TTFT).model_copy(update={"buckets": ("tenant",)})
    found = judged(spec, served(count=100, tenant="a"), served(9.0, 100, tenant="b"))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no group" in found.reason


def test_more_tenants_than_rows_share_the_last() -> None:
    spec = spec_of(RolloutMetric.TTFT).model_copy(update={"buckets": ("tenant",)})
    evidence = Evidence()
    many = [s.model_copy(update={"tenant": str(i)}) for i, s in enumerate(BASE[:600])]
    evidence.add_samples(spec, RolloutSide.CHAMPION, many)
    assert evidence.requests(RolloutMetric.TTFT, RolloutSide.CHAMPION) == 600
    assert evidence.histograms[RolloutMetric.TTFT].shape[1] == 256


def test_thumbs_down_are_compared() -> None:
    def thumbs(version: int, down: int, up: int) -> list[Feedback]:
        base = Feedback(at=0, request_id="q", model="m", version=version)
        told = [base.model_copy(update={"thumbs": -1})] * down
        return [*told, *[base.model_copy(update={"thumbs": 1})] * up, base]

    spec = spec_of(RolloutMetric.FEEDBACK, margin=0.1, tolerance=0.02, min_samples=30)
    (bad,) = analyse(spec, STEP, [], [], thumbs(1, 30, 170), thumbs(2, 120, 80))
    (few,) = analyse(spec, STEP, [], [], thumbs(1, 30, 170), thumbs(2, 29, 0))
    assert (bad.verdict, bad.challenger_samples) == (Verdict.FAIL, 200)
    assert few.verdict is Verdict.INCONCLUSIVE


def test_evidence_may_grow_look_by_look() -> None:
    spec, evidence, challenger = RolloutSpec(), Evidence(), served(1.05)
    for begin in range(0, COUNT, 500):
        evidence.add_samples(spec, RolloutSide.CHAMPION, BASE[begin : begin + 500])
        evidence.add_samples(spec, RolloutSide.CHALLENGER, challenger[begin : begin + 500])
    assert judge(spec, STEP, evidence) == analyse(spec, STEP, BASE, challenger)


def test_without_effects_the_verdicts_are_the_same() -> None:
    spec, evidence = RolloutSpec(), Evidence()
    evidence.add_samples(spec, RolloutSide.CHAMPION, BASE)
    evidence.add_samples(spec, RolloutSide.CHALLENGER, served(1.25))
    bare = judge(spec, STEP, evidence, effects=False)
    assert [r.verdict for r in bare] == [r.verdict for r in judge(spec, STEP, evidence)]


def test_in_mode_fixed_no_look_after_the_last_says_anything() -> None:
    spec = spec_of(RolloutMetric.TTFT).model_copy(update={"mode": "fixed", "looks": 3})
    assert judged(spec, BASE, served(2.0), looks=2).verdict is Verdict.FAIL
    assert judged(spec, BASE, served(2.0), looks=3).verdict is Verdict.INCONCLUSIVE


def test_prometheus_analyses_are_left_to_others() -> None:
    user = AnalysisSpec(metric=RolloutMetric.PROMETHEUS, name="mine", query="up", margin=0.1)
    spec = RolloutSpec(analyses=(user, AnalysisSpec(metric=RolloutMetric.TTFT, margin=0.1)))
    assert [r.name for r in analyse(spec, STEP, BASE, BASE)] == ["ttft"]


@pytest.mark.parametrize(
    ("values", "champion", "challenger", "verdict"),
    [
        ({}, 10.0, 10.5, Verdict.PASS),
        ({}, 10.0, 12.0, Verdict.FAIL),
        ({}, 10.0, 2.0, Verdict.PASS),
        ({"direction": LOWER}, 10.0, 12.0, Verdict.PASS),
        ({"direction": LOWER}, 10.0, 8.0, Verdict.FAIL),
        ({"direction": LOWER}, 10.0, 0.0, Verdict.FAIL),
        ({"direction": EITHER}, 10.0, 8.0, Verdict.FAIL),
        ({"tolerance": 0.3}, 10.0, 12.0, Verdict.PASS),
        ({"at_most": 11.0}, 1.0, 10.0, Verdict.PASS),
        ({"at_most": 11.0}, 20.0, 12.0, Verdict.FAIL),
        ({"at_most": 11.0}, None, 10.0, Verdict.PASS),
        ({"at_most": 11.0}, 20.0, None, Verdict.ERROR),
        ({}, None, 1.0, Verdict.ERROR),
        ({}, 1.0, None, Verdict.ERROR),
        ({}, float("nan"), 1.0, Verdict.ERROR),
        ({}, 1.0, float("nan"), Verdict.ERROR),
        ({}, 0.0, 0.0, Verdict.PASS),
        ({}, 0.0, 1.0, Verdict.INCONCLUSIVE),
    ],
)
def test_figures_of_prometheus(
    values: dict[str, object],
    champion: float | None,
    challenger: float | None,
    verdict: Verdict,
) -> None:
    given = {"metric": "prometheus", "name": "mine", "query": "up", "margin": 0.1} | values
    found = judge_values(AnalysisSpec.model_validate(given), champion, challenger)
    assert (found.name, found.verdict) == ("mine", verdict)
    assert found.reason


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [(0, 0, False), (1, 0, True), (1, 1, False), (100, 90, False), (108, 90, True)],
)
def test_looks_are_due_as_samples_grow_by_a_fifth(now: int, last: int, due: bool) -> None:  # noqa: FBT001
    assert look_due(now, last) is due


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [(99, 0, False), (100, 0, True), (199, 100, False), (200, 100, True)],
)
def test_fixed_looks_begin_at_the_steps_samples_and_double(
    now: int,
    last: int,
    due: bool,  # noqa: FBT001
) -> None:
    spec = RolloutSpec(mode="fixed")
    assert look_due(now, last, spec, RolloutStep(weight=5, min_samples=100)) is due
