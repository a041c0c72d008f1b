from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.registry.rollouts.spec import RolloutMetric, RolloutSpec, load_spec, parse_spec

from enginehouse.errors import SpecError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_a_complete_specification(tmp_path: Path) -> None:
    assert load_spec(written(tmp_path, "")) == RolloutSpec()


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    text = """
steps: [{weight: 10, min_samples: 7}, {weight: 100}]
analyses:
  - {metric: ttft, margin: 0.2}
  - {metric: prometheus, name: gpu, query: "up{version='{version}'}", margin: 0.1, at_most: 3}
mode: fixed
buckets: [tenant, prompt_size]
sticky: header:X-User
"""
    spec = load_spec(written(tmp_path, text))
    assert [step.weight for step in spec.steps] == [10, 100]
    assert [a.title for a in spec.analyses] == ["ttft", "gpu"]
    assert spec.analyses[1].metric is RolloutMetric.PROMETHEUS


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("weights: [1]", "weights"),
        ("steps: [{weight: 101}]", "steps.0.weight"),
        ("steps: [{weight: 5}, {weight: 100, min_samples: 0}]", "steps.1.min_samples"),
        ("steps: [{weight: 5, scrutiny: 0.5}]", "steps.0.scrutiny"),
        ("analyses: [{metric: speed, margin: 1}]", "analyses.0.metric"),
        ("analyses: [{metric: ttft, margin: 0}]", "analyses.0.margin"),
        ("analyses: [{metric: ttft}]", "analyses.0.margin"),
        ("guards: {crashes: 0}", "guards.crashes"),
        ("mode: often", "mode"),
        ("alpha: 0.5", "alpha"),
        ("buckets: [colour]", "buckets.0"),
        ("sticky: cookie", "sticky"),
        ("deadline_s: 0", "deadline_s"),
        ("[]", "the file"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, text: str, field: str) -> None:
    path = written(tmp_path, text)
    if text == "[]":
        with pytest.raises(SpecError, match="the file"):
            parse_spec([1], str(path))
        return
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value).startswith(f"{path}: {field}: ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: []", "last step's weight has to be 100"),
        ("steps: [{weight: 5}]", "last step's weight has to be 100"),
        ("steps: [{weight: 50}, {weight: 25}, {weight: 100}]", "weights have to rise"),
        ("steps: [{weight: 0}, {weight: 100}]", "weight from 1 to 99"),
        ("analyses: []", "has to be required"),
        ("analyses: [{metric: ttft, margin: 1, required: false}]", "has to be required"),
        ("analyses: [{metric: ttft, margin: 1}, {metric: ttft, margin: 2}]", "different names"),
    ],
)
def test_what_could_never_promote_or_always_would_is_refused(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SpecError, match=sentence):
        load_spec(written(tmp_path, text))


@pytest.mark.parametrize("text", ["steps: [", "a: b: c"])
def test_what_is_not_yaml_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecError, match="not YAML"):
        load_spec(written(tmp_path, text))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_spec(tmp_path / "none.yaml")
