from __future__ import annotations

import json

import pytest

from tests.conftest import RunningStack, run_cli


@pytest.mark.slow(reason="measures the raw engine and the whole path, each up to 32 streams")
def test_bench_measures_both_sides_and_writes_its_reports(stack: RunningStack) -> None:
    done = run_cli(stack.env, "bench", "--rounds", 1, "--tokens", 6, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    streams = {"1", "8", "16", "32"}
    assert data["ratios"]["path_over_raw"].keys() == streams
    for side in ("raw", "path"):
        assert data["sides"][side].keys() == streams
        figures = data["sides"][side]["16"]
        assert figures["tokens_per_s"] > 0
        assert figures["ttft_ms"]["p50"] <= figures["ttft_ms"]["p95"]
        assert figures["cpu_seconds"]["engine"] > 0
    assert data["rss_bytes"]["engine"] > 2**28
    assert data["host"]["cpu_count"] >= 1
    reports = stack.settings.reports_dir
    assert json.loads((reports / "bench.json").read_text()) == data
    assert "| 32 | path |" in (reports / "bench.md").read_text()
