from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from enginehouse.client import Target
from enginehouse.perf import drivers
from enginehouse.perf import python_tool as tools_module
from enginehouse.perf.aiperf import run as running
from enginehouse.perf.aiperf.export import records_of
from enginehouse.perf.aiperf.inputs import configuration
from enginehouse.perf.aiperf.run import AIPERF, run_aiperf
from enginehouse.perf.drivers import check_driver, install_driver, make_driver
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import figures_of
from enginehouse.perf.profile import EntryPoint
from enginehouse.perf.prompts import LoadPrompt
from enginehouse.perf.python_tool import KEY_VARIABLE, PythonTool, environment

from enginehouse.errors import ServingError, SettingsError, StackError
from enginehouse.settings import Addresses

_EXPORT = (Path(__file__).parent / "data" / "aiperf_open.jsonl").read_text("utf-8").splitlines()
_DUE = [0.0, 0.0, 0.0, 0.7, 0.7, 1.5]
_PROMPTS = [LoadPrompt("chat", f"q{n}", "", (1,), 10 + 2 * n) for n in range(6)]
_OPEN = OfferedLoad(_PROMPTS, _DUE, 3.0)
_CLOSED = OfferedLoad(_PROMPTS, 6, 2.0)
_TARGET = Target("m", 3)


def _config(folder: Path, load: OfferedLoad, *, with_key: bool = False) -> dict[str, Any]:
    found = configuration(folder, "http://127.0.0.1:9", "m", load, with_key=with_key)
    benchmark: dict[str, Any] = found["benchmark"]
    return benchmark


def _rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(config["datasets"][0]["path"]).read_text().split("\n")
            if line]  # fmt: skip


def test_a_closed_loop_sends_the_loads_prompts_in_their_order(tmp_path: Path) -> None:
    config = _config(tmp_path, _CLOSED)
    assert config["phases"] == [
        {"name": "profiling", "kind": "profiling", "requests": 6, "concurrency": 2,
         "type": "constant", "rate": 500}
    ]  # fmt: skip
    assert config["datasets"][0]["sampling"] == "sequential"
    rows = _rows(config)
    assert [row["text"] for row in rows] == [prompt.user for prompt in _PROMPTS]
    assert [row["output_length"] for row in rows] == [10, 12, 14, 16, 18, 20]
    assert all(row["extra"] == {"temperature": 0, "ignore_eos": True} for row in rows)
    assert not any("timestamp" in row for row in rows)


def test_an_open_loop_keeps_the_loads_own_times_bursts_too(tmp_path: Path) -> None:
    config = _config(tmp_path, _OPEN)
    assert config["phases"][0]["type"] == "fixed_schedule"
    assert [row["timestamp"] for row in _rows(config)] == [0, 0, 0, 700, 700, 1500]


def test_counts_are_the_servers_and_nothing_else_of_it_is_asked(tmp_path: Path) -> None:
    config = _config(tmp_path, _CLOSED)
    assert config["endpoint"]["use_server_token_count"] is True
    assert config["endpoint"]["use_legacy_max_tokens"] is True
    assert config["server_metrics"] == config["gpu_telemetry"] == {"enabled": False}
    assert (Path(config["tokenizer"]["name"]) / "tokenizer.json").is_file()


def test_a_key_is_named_and_not_written(tmp_path: Path) -> None:
    assert "api_key" not in _config(tmp_path / _made(tmp_path, "a"), _CLOSED)["endpoint"]
    keyed = _config(tmp_path / _made(tmp_path, "b"), _CLOSED, with_key=True)
    assert keyed["endpoint"]["api_key"] == "${ENGINEHOUSE_API_KEY}"


def _made(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


def test_an_export_is_read_in_the_order_of_the_load() -> None:
    records = records_of(_EXPORT, _OPEN)
    assert [record.due_s for record in records] == _DUE
    assert all(-0.001 < record.sent_s - record.due_s < 0.05 for record in records)
    assert records[2].trace is None
    assert records[2].error == "no more"
    sizes = [record.trace.tokens for record in records if record.trace]
    assert sizes == [10, 12, 16, 18, 20]
    assert {record.prompt_tokens for record in records if record.trace} == {7}


def test_times_of_an_export_are_aiperfs_own() -> None:
    own = {
        int(row["metadata"]["conversation_id"]): row["metrics"] for row in map(json.loads, _EXPORT)
    }
    for place, record in enumerate(records_of(_EXPORT, _OPEN)):
        if record.trace is None:
            continue
        metrics, trace = own[place], record.trace
        assert 1000 * trace.first_s == pytest.approx(metrics["time_to_first_token"]["value"])
        assert 1000 * trace.arrivals_s[-1] == pytest.approx(
            metrics["request_latency"]["value"], abs=0.01
        )
        assert 1000 * trace.inter_token_s == pytest.approx(
            metrics["inter_token_latency"]["value"], abs=0.01
        )
        # The endpoint put two tokens into each chunk.
        assert len(trace.arrivals_s) == trace.tokens // 2


def test_a_closed_loop_is_never_late() -> None:
    figures = figures_of(records_of(_EXPORT, _CLOSED))
    assert figures.late.p99 == 0
    assert (figures.requests, figures.failed, figures.tokens) == (6, 1, 76)
    assert figures.errors == {"no more": 1}


def test_an_answer_without_a_token_is_a_failure() -> None:
    row = json.loads(_EXPORT[1])
    del row["metrics"]["time_to_first_token"]
    cancelled = json.loads(_EXPORT[1])
    cancelled["metadata"]["was_cancelled"] = True
    load = OfferedLoad(_PROMPTS[:2], 2, 1.0)
    found = records_of([json.dumps(row), json.dumps(cancelled)], load)
    assert {record.error for record in found} == {
        "an answer without a token",
        "aiperf cancelled the request",
    }


def test_an_answer_of_one_token_has_no_gaps() -> None:
    row = json.loads(_EXPORT[1])
    del row["metrics"]["inter_chunk_latency"]
    row["metrics"]["output_sequence_length"]["value"] = 1
    (record,) = records_of([json.dumps(row)], OfferedLoad(_PROMPTS[:1], 1, 1.0))
    assert record.trace is not None
    assert len(record.trace.arrivals_s) == record.trace.tokens == 1


class _Fake:
    """Replaces the tool's process: records its arguments and writes an export."""

    def __init__(self, export: list[str]) -> None:
        self.export = export
        self.argv: list[str] = []
        self.env: dict[str, str] = {}

    def __call__(self, argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.argv, self.env = argv, options["env"]
        folder = options["cwd"] / "artifacts"
        folder.mkdir()
        (folder / "profile_export.jsonl").write_text("\n".join(self.export))
        summary = {"request_throughput": {"unit": "requests/sec", "avg": 2.5}}
        (folder / "profile_export_aiperf.json").write_text(json.dumps(summary))
        return subprocess.CompletedProcess(argv, 1, "", "all went wrong")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Fake:
    fake = _Fake(_EXPORT)
    monkeypatch.setattr(tools_module.subprocess, "run", fake)
    monkeypatch.setattr(PythonTool, "installed", lambda *_: True)
    return fake


def test_a_run_has_the_key_in_its_environment_alone(
    fake: _Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcome = run_aiperf(tmp_path, Addresses(), _TARGET, _OPEN, api_key="sk-1")
    assert len(outcome.records) == 6
    assert fake.argv[-3:] == ["profile", "--config", "config.json"]
    assert "sk-1" not in " ".join(fake.argv)
    assert fake.env[KEY_VARIABLE] == "sk-1"
    assert "HF_HUB_OFFLINE" not in fake.env
    assert outcome.details["printed_requests_per_s"] == 2.5
    assert "sk-1" not in str(outcome.details)


def test_a_run_that_lost_requests_fails_in_the_tools_words(fake: _Fake, tmp_path: Path) -> None:
    fake.export = _EXPORT[:4]
    with pytest.raises(ServingError, match=r"aiperf recorded 4 of 6 requests:\n(.|\n)*went wrong"):
        run_aiperf(tmp_path, Addresses(), _TARGET, _OPEN)


def test_nothing_of_the_users_environment_changes_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIPERF_HTTP_CONNECTION_LIMIT", "http_proxy", "HTTPS_PROXY", KEY_VARIABLE):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("PATH", "/bin")
    found = environment(tmp_path, "AIPERF_")
    assert "x" not in found.values()
    assert found["PATH"] == "/bin"
    assert found["HF_HOME"].startswith(str(tmp_path))


@pytest.mark.parametrize("name", ["aiperf", "guidellm"])
@pytest.mark.parametrize("entry_point", ["ensemble", "tensorrt_llm"])
def test_another_entry_point_is_refused_with_the_driver_that_can(
    name: str, entry_point: EntryPoint
) -> None:
    with pytest.raises(SettingsError, match="--driver enginehouse"):
        check_driver(name, entry_point, None)


@pytest.mark.parametrize("name", ["aiperf", "guidellm", "enginehouse"])
def test_a_key_is_refused_by_perf_analyzer_alone(name: str) -> None:
    check_driver(name, "adapter", "sk-1")
    check_driver("perf_analyzer", "ensemble", "sk-1")
    with pytest.raises(SettingsError, match="among its arguments"):
        check_driver("perf_analyzer", "adapter", "sk-1")


def test_an_unknown_driver_is_told_the_others(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="aiperf, guidellm"):
        make_driver("wrk", "adapter", Addresses(), _TARGET, tools=tmp_path, api_key=None)
    with pytest.raises(SettingsError, match="perf_analyzer, aiperf, guidellm"):
        install_driver("enginehouse", tmp_path, {}, print)


@pytest.mark.parametrize("name", ["aiperf", "guidellm"])
def test_what_is_not_installed_is_said_with_the_way_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=f"enginehouse perf install {name}"):
        make_driver(name, "adapter", Addresses(), _TARGET, tools=tmp_path, api_key=None)


class _Pip:
    """Replaces the processes of an installation; the one that `broken` names fails."""

    def __init__(self, broken: str = "nothing") -> None:
        self.broken = broken
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append(argv)
        if argv[1:3] == ["-m", "venv"]:
            (Path(argv[3]) / "bin").mkdir(parents=True)
            (Path(argv[3]) / "bin" / "python").touch()
        failed = self.broken in argv
        return subprocess.CompletedProcess(argv, int(failed), "", "no such wheel" if failed else "")


def test_an_installation_is_pinned_by_hash_and_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = _Pip()
    monkeypatch.setattr(tools_module.subprocess, "run", pip)
    AIPERF.install(tmp_path, print)
    (install,) = [argv for argv in pip.calls if "pip" in argv]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install)
    assert [folder.name for folder in tmp_path.iterdir()] == [f"aiperf-{AIPERF.version}"]
    assert AIPERF.argv(tmp_path)[1:] == ["-m", "aiperf"]
    count = len(pip.calls)
    AIPERF.install(tmp_path, print)
    assert len(pip.calls) == count
    (AIPERF.home(tmp_path) / "bin" / "python").unlink()
    assert not AIPERF.installed(tmp_path)


@pytest.mark.parametrize("broken", ["pip", "--version"])
def test_a_broken_installation_leaves_nothing_that_looks_like_one(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools_module.subprocess, "run", _Pip(broken))
    with pytest.raises(StackError, match=r"aiperf (cannot|does not).*\nno such wheel"):
        AIPERF.install(tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_an_installation_of_other_requirements_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools_module.subprocess, "run", _Pip())
    AIPERF.install(tmp_path, print)
    old = AIPERF.home(tmp_path) / "old"
    old.touch()
    (AIPERF.home(tmp_path) / "installed").write_text("of another list")
    assert not AIPERF.installed(tmp_path)
    AIPERF.install(tmp_path, print)
    assert AIPERF.installed(tmp_path)
    assert not old.exists()


def test_every_requirement_is_pinned_with_a_hash() -> None:
    for tool in (AIPERF, drivers.GUIDELLM):
        text = (Path(running.__file__).parents[1] / tool.name / "requirements.txt").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        names = [line for line in lines if not line.startswith(" ")]
        assert f"{tool.name}=={tool.version} \\" in names
        assert all("==" in name and name.endswith(" \\") for name in names)
        assert len([line for line in lines if "--hash=sha256:" in line]) >= len(names)
