from __future__ import annotations

import json
from pathlib import Path

import pytest
from enginehouse.cli.app import app
from enginehouse.registry import Registry
from typer.testing import CliRunner, Result

from enginehouse.errors import RolloutError, SpecError
from enginehouse.settings import Settings, load_settings
from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.exposures import Exposure

YAML = """
name: warm
model: smollm2
baseline: 0.3
arms:
- {name: control, weight: 3}
- {name: warm, sampling: {temperature: 0.9}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("experiment-cli")
    with Registry(settings_of(home)).session() as client:
        client.create_registered_model("smollm2")
    return home


def settings_of(home: Path) -> Settings:
    return load_settings({"ENGINEHOUSE_HOME": str(home)}, cwd=home)


def run(home: Path, *arguments: object) -> Result:
    environ = {"ENGINEHOUSE_HOME": str(home), "COLUMNS": "160"}
    return CliRunner().invoke(app, ["experiment", *map(str, arguments)], env=environ)


def write_journals(home: Path, at: float) -> None:
    journal = settings_of(home).journal_dir
    journal.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = {"exposures": [], "samples-experiments": [], "feedback": []}
    for number in range(400):
        arm = "warm" if number % 4 == 0 else "control"
        common = {"request_id": str(number), "model": "smollm2", "version": 1}
        # The first hundred are of an earlier run.
        when = at + (1 if number >= 100 else -1000)
        exposure = {"at": when, "experiment": "warm", "arm": arm, "unit": f"u{number}"}
        lines["exposures"].append(Exposure.model_validate(exposure | common).model_dump_json())
        sample = RequestSample.model_validate({"at": when, **common})
        lines["samples-experiments"].append(sample.model_dump_json())
        word = Feedback.model_validate({"at": when, "thumbs": 1 if number % 3 else -1, **common})
        lines["feedback"].append(word.model_dump_json())
    for name, content in lines.items():
        (journal / f"{name}.jsonl").write_text("\n".join(content))


def test_an_experiment_is_started_listed_stopped_and_reported(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(YAML)

    started = run(home, "start", file)
    assert started.exit_code == 0, started.output
    assert "control 75%, warm 25%" in started.stdout

    (listed,) = json.loads(run(home, "list", "--json").stdout)
    assert listed["stopped_at"] is None
    assert "running" in run(home, "list").stdout

    write_journals(home, listed["started_at"])
    assert "has ended" in run(home, "stop", "warm").stdout
    # Written before the end of the run, so that what is read is what was stopped.
    write_journals(home, listed["started_at"] - 0.999)
    done = run(home, "report", "warm", "--out", tmp_path / "out")

    assert done.exit_code == 0, done.output
    assert "No conclusion yet" in done.stdout
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| control | as it is | 3 | 225 |" in report
    assert (tmp_path / "out" / "report.png").exists()


def test_a_wrong_file_and_an_unknown_name_are_errors_of_ours(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("name: x")
    assert isinstance(run(home, "start", file).exception, SpecError)
    assert isinstance(run(home, "report", "nobody").exception, RolloutError)
    assert isinstance(run(home, "stop", "nobody").exception, RolloutError)
