from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.registry.experiments.definition import (
    ExperimentMetric,
    load_experiment,
    parse_experiment,
)

from enginehouse.errors import SpecError
from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.samples import Outcome

SAMPLE = RequestSample(at=1, request_id="r", model="m", version=1, ttft_s=0.1)


def definition(**changes: object) -> dict[str, object]:
    return {
        "name": "warmer-prompt",
        "model": "smollm2",
        "arms": [{"name": "control"}, {"name": "warm", "sampling": {"temperature": 0.9}}],
        **changes,
    }


def test_file_needs_a_name_a_model_and_arms_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(
        "name: warm\nmodel: smollm2\narms:\n- name: control\n- {name: warm, prompt: kind@3}\n"
    )

    spec = load_experiment(path)

    assert spec.arms[1].prompt == "kind@3"
    assert spec.unit == "user"
    assert spec.compared[0] is ExperimentMetric.FEEDBACK


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": [{"name": "control"}]}, "arms"),
        ({"arms": [{"name": "a"}, {"name": "a", "version": 2}]}, "names of their own"),
        ({"arms": [{"name": "a"}, {"name": "b"}]}, "identical: true"),
        ({"share": 0}, "share"),
        ({"unit": "cookie"}, "unit"),
        ({"primary": "happiness"}, "primary"),
        (
            {"arms": [{"name": "a"}, {"name": "b", "sampling": {"temperature": 3}}]},
            "arms.1.sampling.temperature",
        ),
        (
            {"arms": [{"name": "a"}, {"name": "b", "sampling": {"temprature": 1}}]},
            "arms.1.sampling.temprature",
        ),
        ({"arms": [{"name": "a"}, {"name": "b", "prompt": "kind"}]}, "arms.1.prompt"),
        ({"name": "No Spaces"}, "name"),
    ],
)
def test_wrong_field_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse_experiment(definition(**changes), "here")


def test_a_missing_field_is_named_and_so_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="model: Field required"):
        parse_experiment({"name": "x", "arms": []}, "here")
    with pytest.raises(SpecError, match=r"gone\.yaml cannot be read"):
        load_experiment(tmp_path / "gone.yaml")


def test_identical_arms_are_an_explicit_wish() -> None:
    arms = [{"name": "a"}, {"name": "b"}]
    assert parse_experiment(definition(arms=arms, identical=True), "here").identical


def test_only_answered_requests_have_latencies_and_only_judged_ones_an_error() -> None:
    failed = SAMPLE.model_copy(update={"outcome": Outcome.ERROR})
    refused = SAMPLE.model_copy(update={"outcome": Outcome.REFUSED})

    assert ExperimentMetric.TTFT.value_of(SAMPLE, None) == 0.1
    assert ExperimentMetric.TTFT.value_of(failed, None) is None
    assert ExperimentMetric.ERROR_RATE.value_of(SAMPLE, None) == 0.0
    assert ExperimentMetric.ERROR_RATE.value_of(failed, None) == 1.0
    assert ExperimentMetric.ERROR_RATE.value_of(refused, None) is None


def test_feedback_counts_thumbs_down_and_scores_apart() -> None:
    down = Feedback(at=1, request_id="r", model="m", version=1, thumbs=-1)
    score = Feedback(at=1, request_id="r", model="m", version=1, score=0.7)

    assert ExperimentMetric.FEEDBACK.value_of(SAMPLE, down) == 1.0
    assert ExperimentMetric.FEEDBACK.value_of(SAMPLE, score) is None
    assert ExperimentMetric.SCORE.value_of(SAMPLE, score) == 0.7
    assert ExperimentMetric.SCORE.value_of(SAMPLE, None) is None
