from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from enginehouse.cli.app import app
from enginehouse.registry.quality.traces import TraceLog, TraceRecord
from typer.testing import CliRunner, Result

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings, load_settings
from enginehouse.traffic.comparison import ShadowPair, compare_answers, pairs_path
from tests.registry.quality.stand_in import StandIn


@pytest.fixture
def environ(quality_home: Path, endpoint: StandIn) -> dict[str, str]:
    return {
        "ENGINEHOUSE_HOME": str(quality_home),
        "ENGINEHOUSE_API_PORT": str(endpoint.server_port),
        "COLUMNS": "120",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return load_settings(environ, cwd=Path.cwd())


def run(environ: dict[str, str], *arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env=environ)


@pytest.mark.slow(reason="a second evaluation; test_evaluate.py has its figures")
def test_evaluate_prints_both_versions_side_by_side(
    environ: dict[str, str], endpoint: StandIn, tmp_path: Path
) -> None:
    endpoint.rule = lambda version, _: "4" if version == "8" else "I cannot say."
    data = tmp_path / "data.jsonl"
    row = {"inputs": {"question": "2+2?"}, "expectations": {"expected_response": "4"}}
    data.write_text("\n".join([json.dumps(row)] * 6))

    table = run(environ, "evaluate", "smollm2", 7, 8, "--data", data)
    assert table.exit_code == 0, table.output
    exact = next(line for line in table.stdout.splitlines() if "exact" in line)
    assert "0.0%" in exact
    assert "100.0%" in exact
    assert "6 / 0" in exact

    plain = run(environ, "evaluate", "smollm2", 7, 8, "--data", data, "--json")
    found = json.loads(plain.stdout)
    assert {one["scorer"] for one in found["comparisons"]} >= {"exact", "non_empty", "words"}
    assert found["rows"] == 6


def test_drift_has_an_exit_status_for_alerts_and_a_page_for_prometheus(
    environ: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    log, now = TraceLog(settings), time.time()
    for number in range(100):
        before = number < 50
        log.write(
            TraceRecord(
                at=now - (3600 * 30 if before else 3600) + number,
                request_id=str(number),
                model="moving",
                version=1,
                messages=({"role": "user", "content": "Hi"},),
                answer="Ho",
                finish="stop",
                prompt_tokens=5 + number if before else 500 + number,
                completion_tokens=1,
                total_s=0.1,
            )
        )
    page = tmp_path / "drift.prom"

    done = run(environ, "drift", "moving", "--metrics-file", page)

    assert done.exit_code == 3, done.output
    assert "drift" in done.stdout
    assert 'enginehouse_drift{model="moving",of="length"} 1' in page.read_text()

    quiet = run(environ, "drift", "moving", "--reference", "1h", "--current", "10s", "--json")
    assert quiet.exit_code == 0, quiet.output
    assert json.loads(quiet.stdout)["results"][0]["verdict"] == "too_few"


@pytest.mark.parametrize("text", ["7", "d", "7y", "0d", "-1d", ""])
def test_a_wrong_window_is_refused_by_name(environ: dict[str, str], text: str) -> None:
    done = run(environ, "drift", "moving", f"--reference={text}")
    assert isinstance(done.exception, SettingsError)
    assert "--reference" in str(done.exception)


def test_shadow_shows_the_summary_and_the_least_alike_pairs(
    environ: dict[str, str], settings: Settings
) -> None:
    assert "no shadow comparisons" in run(environ, "shadow", "silent").stdout
    lines = []
    for number, answer in enumerate(("four", "a [red] herring")):
        comparison = compare_answers("four", answer, champion_finish="stop", shadow_finish="stop")
        pair = ShadowPair(
            at=1.0,
            request_id=f"chatcmpl-{number}",
            model="shadowed",
            champion=7,
            shadow=8,
            comparison=comparison,
            prompt="user: 2+2?",
            champion_answer="four",
            shadow_answer=answer,
        )
        lines.append(pair.model_dump_json())
    path = pairs_path(settings.journal_dir, "shadowed")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))

    shown = run(environ, "shadow", "shadowed", "--pairs", 1).stdout

    assert "7 → 8" in shown
    assert "50%" in shown
    assert "a [red] herring" in shown
    assert "chatcmpl-0" not in shown
