from __future__ import annotations

import copy
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from enginehouse.client import Target
from enginehouse.perf import python_tool as tools_module
from enginehouse.perf.guidellm import run as running
from enginehouse.perf.guidellm.export import records_of
from enginehouse.perf.guidellm.inputs import LEAD_S, configuration
from enginehouse.perf.guidellm.run import GUIDELLM, run_guidellm
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import figures_of
from enginehouse.perf.prompts import LoadPrompt
from enginehouse.perf.python_tool import PythonTool

from enginehouse.errors import ServingError
from enginehouse.settings import Addresses

_DATA = Path(__file__).parent / "data"
_OPEN_REPORT = json.loads((_DATA / "guidellm_open.json").read_text("utf-8"))
_CLOSED_REPORT = json.loads((_DATA / "guidellm_closed.json").read_text("utf-8"))
_DUE = [0.0, 0.0, 0.0, 0.7, 0.7, 1.5]
_PROMPTS = [LoadPrompt("chat", f"q{n}", "", (1,), 10 + 2 * n) for n in range(6)]
_OPEN = OfferedLoad(_PROMPTS, _DUE, 3.0)
_CLOSED = OfferedLoad(_PROMPTS, 6, 2.0)


def _spec(folder: Path, load: OfferedLoad, api_key: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = configuration(folder, "http://127.0.0.1:9", "m", load, api_key=api_key)[
        "spec"
    ]
    return spec


def _rows(spec: dict[str, Any]) -> list[dict[str, Any]]:
    lines = Path(spec["data"][0]["path"]).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_closed_loop_sends_the_loads_prompts_and_no_others(tmp_path: Path) -> None:
    spec = _spec(tmp_path, _CLOSED)
    assert spec["profile"] == {"kind": "concurrent", "streams": [2]}
    assert spec["constraints"] == [{"kind": "max_requests", "count": 6}]
    rows = _rows(spec)
    assert [row["messages"] for row in rows] == [
        [{"role": "user", "content": prompt.user}] for prompt in _PROMPTS
    ]
    assert [row["output_tokens_count"] for row in rows] == [10, 12, 14, 16, 18, 20]


def test_an_open_loop_keeps_the_loads_own_times_after_a_first_request(tmp_path: Path) -> None:
    spec = _spec(tmp_path, _OPEN)
    assert spec["profile"] == {"kind": "replay", "schedule_turn": "timestamp"}
    first, *rows = _rows(spec)
    assert (first["relative_timestamp"], first["output_tokens_count"]) == (0, 1)
    assert [row["relative_timestamp"] - LEAD_S for row in rows] == pytest.approx(_DUE)
    assert spec["constraints"][0]["count"] == spec["data_loader"]["samples"] == 7


def test_it_asks_as_the_adapter_wants_and_keeps_no_prompt(tmp_path: Path) -> None:
    spec = _spec(tmp_path, _CLOSED, "sk-1")
    body = spec["backend"]["extras"]["body"]
    assert body == {"temperature": 0}
    assert "api_routes" not in spec["backend"], "guidellm's own /health is there"
    assert spec["backend"]["api_key"] == "sk-1"
    assert spec["metrics"]["sample_size"] == 0


def test_a_report_is_read_without_the_first_request() -> None:
    records = records_of(_OPEN_REPORT, _OPEN)
    assert [record.due_s for record in records] == pytest.approx(_DUE)
    assert all(-0.001 < record.sent_s - record.due_s < 0.05 for record in records)
    failed = [record.error for record in records if record.trace is None]
    assert failed == ["the endpoint answered 429 Too Many Requests"]
    sizes = sorted(record.trace.tokens for record in records if record.trace)
    assert sizes == [10, 12, 16, 18, 20]
    assert {record.prompt_tokens for record in records if record.trace} == {7}


def test_a_closed_loop_begins_with_its_first_request_and_is_never_late() -> None:
    records = records_of(_CLOSED_REPORT, _CLOSED)
    assert records[0].sent_s == 0
    figures = figures_of(records)
    assert figures.late.p99 == 0
    assert (figures.requests, figures.failed, figures.tokens) == (6, 1, 76)


def test_times_are_guidellms_own() -> None:
    own = {
        one["output_tokens"]: one
        for one in _CLOSED_REPORT["benchmarks"][0]["requests"]["successful"]
    }
    traces = [record.trace for record in records_of(_CLOSED_REPORT, _CLOSED) if record.trace]
    for trace in traces:
        one = own[trace.tokens]
        assert len(trace.arrivals_s) == 2
        assert 1000 * trace.first_s == pytest.approx(one["time_to_first_token_ms"])
        assert 1000 * trace.inter_token_s == pytest.approx(one["inter_token_latency_ms"])


def test_an_answer_of_one_chunk_has_one_arrival_and_one_of_none_failed() -> None:
    report = copy.deepcopy(_CLOSED_REPORT)
    one, none, *_ = report["benchmarks"][0]["requests"]["successful"]
    one["info"]["timings"]["last_token_iteration"] = one["info"]["timings"]["first_token_iteration"]
    none["info"]["timings"]["first_token_iteration"] = None
    records = records_of(report, _CLOSED)
    traces = [record.trace for record in records if record.trace]
    assert sorted(len(trace.arrivals_s) for trace in traces) == [1, 2, 2, 2]
    assert "an answer without a token" in {record.error for record in records}


def test_a_request_that_was_never_sent_is_a_failure() -> None:
    report = copy.deepcopy(_OPEN_REPORT)
    requests = report["benchmarks"][0]["requests"]
    lost = requests["successful"].pop()
    lost["info"] |= {"status": "cancelled", "error": None}
    for name in ("request_start", "resolve_start", "targeted_start"):
        lost["info"]["timings"][name] = None
    requests["incomplete"].append(lost)
    errors = {record.error for record in records_of(report, _OPEN)}
    assert "guidellm says no more than: cancelled" in errors


def test_a_report_without_a_benchmark_is_an_error() -> None:
    with pytest.raises(ServingError, match="no benchmark"):
        records_of({"benchmarks": []}, _CLOSED)


class _Fake:
    """Replaces the tool's process: records its arguments and writes a report."""

    def __init__(self) -> None:
        self.report: dict[str, Any] | None = _CLOSED_REPORT
        self.argv: list[str] = []
        self.env: dict[str, str] = {}
        self.mode = 0

    def __call__(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.argv, self.env = argv, options["env"]
        self.mode = stat.S_IMODE((options["cwd"] / "config.json").stat().st_mode)
        if self.report is not None:
            (options["cwd"] / "report.json").write_text(json.dumps(self.report))
        return subprocess.CompletedProcess(argv, 1, "", "all went wrong")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Fake:
    fake = _Fake()
    monkeypatch.setattr(tools_module.subprocess, "run", fake)
    monkeypatch.setattr(PythonTool, "installed", lambda *_: True)
    return fake


def _run(tools: Path, load: OfferedLoad, api_key: str | None = None) -> tools_module.Outcome:
    return run_guidellm(tools, Addresses(), Target("m", 3), load, api_key=api_key)


def test_a_run_has_the_key_in_a_file_that_nobody_else_reads(fake: _Fake, tmp_path: Path) -> None:
    outcome = _run(tmp_path, _CLOSED, "sk-1")
    assert len(outcome.records) == 6
    assert fake.argv[-4:] == ["run", "--config", "config.json", "--disable-console"]
    assert "sk-1" not in " ".join([*fake.argv, *fake.env.values(), str(outcome.details)])
    assert fake.mode == 0o600
    assert fake.env["HF_HUB_OFFLINE"] == "1"


def test_the_figures_that_it_printed_are_kept_where_they_mean_the_same(
    fake: _Fake, tmp_path: Path
) -> None:
    outcome = _run(tmp_path, _CLOSED)
    printed = outcome.details["printed_tokens_per_s"]
    assert printed == pytest.approx(figures_of(outcome.records).tokens_per_s, rel=0.05)
    fake.report = _OPEN_REPORT
    assert not any(name.startswith("printed") for name in _run(tmp_path, _OPEN).details)


@pytest.mark.parametrize(("cores", "workers"), [(2, "1"), (16, "4")])
def test_it_takes_few_cores_from_what_it_measures(
    cores: int, workers: str, fake: _Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.os, "cpu_count", lambda: cores)
    monkeypatch.setitem(os.environ, "GUIDELLM__MAX_WORKER_PROCESSES", "10")
    _run(tmp_path, _CLOSED)
    assert fake.env["GUIDELLM__MAX_WORKER_PROCESSES"] == workers


def test_a_run_without_a_report_or_with_half_of_one_fails(fake: _Fake, tmp_path: Path) -> None:
    fake.report = copy.deepcopy(_CLOSED_REPORT)
    fake.report["benchmarks"][0]["requests"]["errored"] = []
    with pytest.raises(ServingError, match="guidellm recorded 5 of 6 requests"):
        _run(tmp_path, _CLOSED)
    fake.report = None
    with pytest.raises(ServingError, match=r"no report:\n(.|\n)*all went wrong"):
        _run(tmp_path, _CLOSED)


def test_torch_is_installed_after_what_has_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []

    def pip(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        if argv[1:3] == ["-m", "venv"]:
            (Path(argv[3]) / "bin").mkdir(parents=True)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(tools_module.subprocess, "run", pip)
    GUIDELLM.install(tmp_path, print)
    exact, loose = [argv for argv in calls if "pip" in argv]
    assert "--require-hashes" in exact
    assert "--require-hashes" not in loose
    assert loose[-1].endswith("torch.txt")
