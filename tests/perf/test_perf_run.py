"""`enginehouse perf run` against a real stack, by both generators, through every entry point."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from enginehouse.perf.perf_analyzer.install import install
from enginehouse.registry import Registry

from enginehouse.errors import EnginehouseError
from tests.conftest import RunningStack, call_cli

_PROFILE = """
name: tiny
description: A few short answers.
mix: [{name: chat, input: {mean: 20}, output: {mean: 6}}]
load: %s
warm_up: 1
slo: {ttft_ms: 60000}
"""
_CLOSED = "{kind: concurrency, levels: [1, 3], requests_a_stream: 2}"
_OPEN = "{kind: bursts, levels: [3], every_s: 1, count: 2}"


def _run(stack: RunningStack, folder: Path, load: str, *options: object) -> dict[str, Any]:
    profile = folder / "tiny.yaml"
    profile.write_text(_PROFILE % load)
    done = call_cli(stack.env, "perf", "run", profile, "--json", *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _check(found: dict[str, Any], requests: list[int]) -> None:
    assert [run["figures"]["requests"] for lv in found["levels"] for run in lv["runs"]] == requests
    for level in found["levels"]:
        for run in level["runs"]:
            figures = run["figures"]
            assert figures["failed"] == 0, figures["errors"]
            assert figures["tokens"] == 6 * figures["requests"]
            assert 0 < figures["ttft"]["p50"] <= figures["total"]["p50"]
            assert figures["goodput_per_s"] > 0


_OTHER_ENTRY_POINTS = pytest.mark.slow(reason="the same measurement through another entry point")


@pytest.mark.parametrize(
    "entry_point",
    [
        "adapter",
        pytest.param("ensemble", marks=_OTHER_ENTRY_POINTS),
        pytest.param("tensorrt_llm", marks=_OTHER_ENTRY_POINTS),
    ],
)
def test_our_generator_measures_every_entry_point(
    stack: RunningStack, entry_point: str, tmp_path: Path
) -> None:
    found = _run(stack, tmp_path, _CLOSED, "--driver", "enginehouse", "--entry-point", entry_point,
                 "--repeats", 2, "--no-log")  # fmt: skip
    _check(found, [2, 2, 6, 6])
    # All entry points count the chat template's tokens.
    assert found["levels"][0]["runs"][0]["figures"]["prompt_tokens"] > 2 * 20


@pytest.fixture(scope="session")
def perf_analyzer(stack: RunningStack) -> None:
    try:
        install(stack.settings.tools_dir, os.environ, print)
    except EnginehouseError as error:
        pytest.skip(f"perf_analyzer cannot be had here: {error}")


@pytest.mark.slow(reason="perf_analyzer runs, each with intervals of its own")
@pytest.mark.usefixtures("perf_analyzer")
@pytest.mark.parametrize(
    ("entry_point", "load", "requests"),
    [
        ("adapter", _CLOSED, [2, 6]),
        ("ensemble", _CLOSED, [2, 6]),
        ("tensorrt_llm", _CLOSED, [2, 6]),
        ("adapter", _OPEN, [6]),
    ],
)
def test_perf_analyzer_measures_every_entry_point_and_its_figures_agree(
    stack: RunningStack, entry_point: str, load: str, requests: list[int], tmp_path: Path
) -> None:
    found = _run(stack, tmp_path, load, "--entry-point", entry_point, "--repeats", 1, "--no-log")
    _check(found, requests)
    for level in found["levels"]:
        (run,) = level["runs"]
        assert run["details"]["printed_latency_ms"] == pytest.approx(
            run["figures"]["total"]["mean"], rel=0.05
        )


def _reports(stack: RunningStack) -> set[Path]:
    return set(stack.settings.reports_dir.glob("tiny-adapter-smollm2-1-*"))


@pytest.mark.slow(reason="another measurement of ten seconds")
def test_a_report_is_written_and_the_version_s_mlflow_run_shows_it(
    stack: RunningStack, tmp_path: Path
) -> None:
    before = _reports(stack)
    found = _run(stack, tmp_path, _OPEN, "--driver", "enginehouse", "--repeats", 2)
    (folder,) = _reports(stack) - before
    names = {"report.json", "report.md", "report.html", "latency-throughput.png",
             "distributions.png", "timeline.png"}  # fmt: skip
    assert {file.name for file in folder.iterdir()} == names
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "smollm2 version 1" in page
    # The page fetches nothing. Base64 has no colon, but may contain the letters "http".
    assert "://" not in page.split("</style>")[1]
    registry = Registry(stack.settings)
    run_id = registry.version("smollm2", 1).run_id
    assert run_id is not None
    with registry.session() as client:
        metrics = client.get_run(run_id).data.metrics
        artifacts = {item.path for item in client.list_artifacts(run_id, "performance")}
    median = found["levels"][0]["spread"]["tokens_per_s"]["median"]
    assert metrics["perf.tiny.adapter.3.tokens_per_s"] == pytest.approx(median)
    assert any("tiny-adapter" in path for path in artifacts)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nowhere",), "no profile 'nowhere'"),
        (("standard", "--entry-point", "window"), "no entry point 'window'"),
        (("standard", "--driver", "horse"), "no driver 'horse'"),
        (("standard", "--driver", "enginehouse", "--model", "gone"), "no text generator 'gone'"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(
    stack: RunningStack, options: tuple[str, ...], said: str
) -> None:
    done = call_cli(stack.env, "perf", "run", *options)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_key_never_stands_among_a_tool_s_arguments(stack: RunningStack) -> None:
    env = stack.env | {"ENGINEHOUSE_API_KEY": "eh_secret"}
    done = call_cli(env, "perf", "run", "standard")
    assert done.returncode == 1
    assert "or `enginehouse`" in done.stderr
