from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from enginehouse.registry.experiments.analysis import ExperimentAnalysis, analyse, required_units
from enginehouse.registry.experiments.definition import (
    ExperimentMetric,
    ExperimentSpec,
    parse_experiment,
)
from enginehouse.registry.experiments.report import conclusion, markdown, write_report

from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.exposures import Exposure
from enginehouse.traffic.samples import Outcome


def spec(**changes: object) -> ExperimentSpec:
    arms = [{"name": "control"}, {"name": "warm", "sampling": {"temperature": 0.9}}]
    return parse_experiment({"name": "warm", "model": "m", "arms": arms, **changes}, "test")


def exposure(unit: str, arm: str, request_id: str) -> Exposure:
    return Exposure(
        at=1.0,
        experiment="warm",
        arm=arm,
        unit=unit,
        request_id=request_id,
        model="m",
        version=1,
    )


def sample(request_id: str, **changes: object) -> RequestSample:
    return RequestSample.model_validate(
        {"at": 2.0, "request_id": request_id, "model": "m", "version": 1, **changes}
    )


def word(request_id: str, at: float = 3.0, **changes: object) -> Feedback:
    return Feedback.model_validate(
        {"at": at, "request_id": request_id, "model": "m", "version": 1, **changes}
    )


class Crowd:
    """Users of two arms, each with one request and a thumb."""

    def __init__(self, sizes: dict[str, int], unhappy: dict[str, float]) -> None:
        rng = np.random.default_rng(7)
        self.exposures: list[Exposure] = []
        self.samples: list[RequestSample] = []
        self.feedback: list[Feedback] = []
        for arm, size in sizes.items():
            for number in range(size):
                request_id = f"{arm}-{number}"
                self.exposures.append(exposure(f"u-{arm}-{number}", arm, request_id))
                self.samples.append(sample(request_id, total_s=float(rng.lognormal())))
                thumbs = -1 if rng.random() < unhappy[arm] else 1
                self.feedback.append(word(request_id, thumbs=thumbs))

    def analysis(self, **changes: object) -> ExperimentAnalysis:
        return analyse(spec(**changes), self.exposures, self.samples, self.feedback)


def test_a_real_effect_with_enough_units_is_found_and_named() -> None:
    found = Crowd({"control": 2000, "warm": 2000}, {"control": 0.3, "warm": 0.2}).analysis()

    (first, other) = found.of(ExperimentMetric.FEEDBACK)
    assert found.enough
    assert first.difference is None
    assert other.difference is not None
    assert other.difference.high < 0
    assert other.p_value is not None
    assert other.p_value < 0.001
    assert "`warm` is **better** than `control`" in conclusion(found)


def test_no_effect_is_said_to_be_none() -> None:
    found = Crowd({"control": 2000, "warm": 2000}, {"control": 0.3, "warm": 0.3}).analysis()
    assert "does not differ" in conclusion(found)


def test_too_few_units_are_no_conclusion_whatever_they_show() -> None:
    found = Crowd({"control": 100, "warm": 100}, {"control": 0.6, "warm": 0.1}).analysis()
    assert not found.enough
    assert conclusion(found).startswith("No conclusion yet")


def test_sample_ratio_mismatch_forbids_reading_the_results(tmp_path: Path) -> None:
    found = Crowd({"control": 2000, "warm": 1700}, {"control": 0.3, "warm": 0.1}).analysis()

    assert found.sample_ratio_broken
    assert "Do not read the results" in conclusion(found)
    report = write_report(found, tmp_path).read_text()
    assert "sample-ratio mismatch: control 2000 (expected 1850)" in report


def test_weights_are_no_mismatch() -> None:
    arms = [{"name": "control", "weight": 9}, {"name": "warm", "version": 2}]
    found = Crowd({"control": 1800, "warm": 200}, {"control": 0.3, "warm": 0.3}).analysis(arms=arms)
    assert not found.sample_ratio_broken
    assert found.warnings == ()


def test_units_seen_on_two_arms_are_left_out_and_reported() -> None:
    exposures = [exposure("u", "control", "1"), exposure("u", "warm", "2")]
    exposures += [exposure("v", "warm", "3")]
    found = analyse(spec(), exposures, [sample(i) for i in "123"], [])

    assert found.crossed == 1
    assert [arm.units for arm in found.arms] == [0, 1]
    assert any("more than one arm" in warning for warning in found.warnings)


def test_requests_without_an_end_are_counted_and_not_judged() -> None:
    exposures = [exposure("u", "control", "1"), exposure("v", "control", "2")]
    found = analyse(spec(), exposures, [sample("1")], [])

    assert (found.arms[0].requests, found.arms[0].open) == (1, 1)
    assert any("no recorded end" in warning for warning in found.warnings)


def test_the_last_word_on_an_answer_counts() -> None:
    exposures = [exposure(unit, "control", unit) for unit in "uv"]
    samples = [sample(unit) for unit in "uv"]
    words = [word("u", 5.0, thumbs=1), word("u", 4.0, thumbs=-1), word("u", 6.0, score=0.5)]
    found = analyse(spec(), exposures, samples, [*words, word("v", thumbs=1)])

    estimate = found.of(ExperimentMetric.FEEDBACK)[0].estimate
    assert estimate is not None
    assert estimate.value == 0.0


def test_another_experiments_arm_is_passed_over() -> None:
    found = analyse(spec(), [exposure("u", "gone", "1")], [sample("1")], [])
    assert [arm.units for arm in found.arms] == [0, 0]


def test_failures_are_a_rate_over_judged_requests() -> None:
    exposures = [exposure(str(i), "control", str(i)) for i in range(4)]
    ends = (Outcome.OK, Outcome.ERROR, Outcome.REFUSED, Outcome.CANCELLED)
    samples = [sample(str(i), outcome=end) for i, end in enumerate(ends)]
    found = analyse(spec(), exposures, samples, [])

    result = found.of(ExperimentMetric.ERROR_RATE)[0]
    assert result.requests == 2
    assert result.estimate is not None
    assert result.estimate.value == 0.5


def test_three_arms_share_the_primary_metrics_alpha() -> None:
    arms = [{"name": "control"}, {"name": "warm", "version": 2}, {"name": "cold", "version": 3}]
    crowd = Crowd(
        dict.fromkeys(("control", "warm", "cold"), 500),
        dict.fromkeys(("control", "warm", "cold"), 0.3),
    )
    three = crowd.analysis(arms=arms).of(ExperimentMetric.FEEDBACK)[1].difference
    two = crowd.analysis().of(ExperimentMetric.FEEDBACK)[1].difference

    assert three is not None
    assert two is not None
    assert three.high - three.low > two.high - two.low


def test_required_units_come_from_the_baseline_before_there_is_data() -> None:
    assert required_units(spec(baseline=0.3)) == 1377
    assert required_units(spec()) is None
    latency = {"primary": "ttft", "baseline": 0.2, "minimum_effect": 0.5}
    assert required_units(spec(**latency)) is None
    assert required_units(spec(**latency, spread=0.2)) == 63


@pytest.fixture(scope="module")
def crowded() -> Iterator[ExperimentAnalysis]:
    return Crowd({"control": 300, "warm": 310}, {"control": 0.3, "warm": 0.2}).analysis()


def test_report_says_what_it_compared_and_draws_it(
    crowded: ExperimentAnalysis, tmp_path: Path
) -> None:
    text = write_report(crowded, tmp_path).read_text()

    assert "| warm | temperature 0.9 | 1 | 310 |" in text
    assert "### `feedback` (primary)" in text
    assert "Sample ratio holds" in text
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_report_of_nothing_is_a_report(tmp_path: Path) -> None:
    empty = analyse(spec(), [], [], [])

    assert "No conclusion" in markdown(empty)
    assert write_report(empty, tmp_path).exists()
