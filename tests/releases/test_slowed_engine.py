"""A version with a deliberately slowed engine, live: the gate refuses it, and traffic would too.

Slowed by its arithmetic: f32 instead of BF16 where the CPU has BF16, and one thread besides.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.client.controller import ControllerClient
from enginehouse.registry import Registry

from enginehouse.bundle import Bundle
from tests.conftest import RunningStack, copied_home, run_cli, running_stack, stack_env, wait_until
from tests.releases.traffic import traffic

_SPEC = {
    "steps": [{"weight": 50, "min_duration_s": 1, "min_samples": 60}, {"weight": 100}],
    "analyses": [{"metric": "total_time", "margin": 0.1, "tolerance": 0.1, "min_samples": 30}],
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("slowed")
    slowed = home / "slowed"
    shutil.copytree(bundle.path, slowed)
    manifest = json.loads((slowed / "engine.json").read_text())
    manifest["engine_settings"]["precision_hint"] = "f32"
    (slowed / "engine.json").write_text(json.dumps(manifest))
    copied_home(home, bundle)
    env = stack_env(home) | {"ENGINEHOUSE_TICK_S": "0.3"}
    done = run_cli(env, "register", slowed, "--name", "smollm2")
    assert done.returncode == 0, done.stderr
    with running_stack(env) as running:
        yield running


def _rollout(stack: RunningStack, overrides: dict[str, str]) -> dict[str, Any]:
    """The release state at the end of a rollout of the slowed version."""
    with ControllerClient.from_settings(stack.settings) as client:
        client.rollout("smollm2", 2, actor="ada", reason="a test", spec=_SPEC, overrides=overrides)

        def ended() -> bool:
            rollout = client.model("smollm2")["rollout"]
            return rollout is not None and rollout["phase"] in {"aborted", "succeeded"}

        wait_until(ended, "the end of the rollout", 150.0)
        return client.model("smollm2")


def test_the_performance_gate_refuses_a_slowed_engine(stack: RunningStack) -> None:
    rollout = _rollout(stack, {})["rollout"]
    print(rollout)
    assert rollout["phase"] == "aborted"
    assert "performance" in rollout["abort_reason"]
    registry = Registry(stack.settings)
    assert "performance" in registry.version("smollm2", 2).tags["enginehouse.refused"]
    assert registry.snapshot()["smollm2"].aliases == {"champion": 1}


def test_a_slowed_engine_that_is_let_through_is_aborted_on_its_times(stack: RunningStack) -> None:
    with traffic(stack.url, rate=8.0, tokens=8) as tally:
        found = _rollout(stack, {"performance": "to see what traffic says"})
    print(found["rollout"], tally)
    assert found["rollout"]["phase"] == "aborted"
    assert "total_time" in found["rollout"]["abort_reason"]
    assert found["weights"] == {"1": 100}
    assert tally.lost == []
