"""`enginehouse perf compare` on two real engines; `trials` shows how often it errs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enginehouse.perf.compare.measure import PerformanceComparison
from enginehouse.perf.private_stack import with_runtime
from enginehouse.perf.runtimes.slowed import NAME, SHARE_VARIABLE

from enginehouse.bundle import Bundle
from tests.conftest import call_cli, copied_home, run_cli, stack_env

pytestmark = pytest.mark.whole_machine
_PROFILE = """
name: small
description: Short bursts.
mix: [{name: chat, input: {mean: 8}, output: {mean: 2}}]
load: {kind: concurrency, levels: [2]}
"""


@pytest.mark.slow(reason="eight pairs of bursts on two real engines")
def test_a_version_that_takes_three_times_as_long_is_found(bundle: Bundle, tmp_path: Path) -> None:
    env = stack_env(tmp_path) | {SHARE_VARIABLE: "2.0"}
    slow = with_runtime(bundle, NAME, tmp_path / "slow")
    copied_home(tmp_path, bundle)
    done = call_cli(env, "register", slow.path, "--name", "smollm2")
    assert done.returncode == 0, done.stderr
    profile = tmp_path / "small.yaml"
    profile.write_text(_PROFILE)
    done = run_cli(env, "perf", "compare", "smollm2", 1, 2, "--profile", profile, "--pairs", 8,
                   "--margin", 1.0, "--json")  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["change"] == "slower"
    assert 1.5 < found["metrics"]["tokens_per_s"]["ratio"] < 6.0
    assert 1.5 < found["metrics"]["ttft"]["ratio"] < 6.0
    comparison = PerformanceComparison.model_validate(found)
    assert len(comparison.alone_ms["version 1"]) == found["metrics"]["ttft"]["pairs"]
    assert len(comparison.figures["version 1"]) == len(comparison.figures["version 2"])
    (folder,) = (tmp_path / "reports").iterdir()
    assert {file.name for file in folder.iterdir()} == {
        "comparison.json", "comparison.md", "pairs.png"}  # fmt: skip
    assert "**version 2 is slower than version 1.**" in (folder / "comparison.md").read_text()


def test_what_cannot_be_compared_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    env = stack_env(tmp_path)
    copied_home(tmp_path, bundle)
    gone = call_cli(env, "perf", "compare", "smollm2", 1, 7)
    assert gone.returncode == 1
    assert "version 7" in gone.stderr
    rate = call_cli(env, "perf", "compare", "smollm2", 1, 1, "--profile", "poisson")
    assert rate.returncode == 1
    assert "at a concurrency" in rate.stderr
