"""A version with a deliberately slowed engine, live: the gate refuses it, and traffic would too.

The real engine, each step made twice as long: other arithmetic (f32) would be slower only
where the CPU has BF16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.client.controller import ControllerClient
from enginehouse.perf.private_stack import with_runtime
from enginehouse.perf.runtimes import slowed
from enginehouse.registry import Registry

from enginehouse.bundle import Bundle
from tests.conftest import RunningStack, call_cli, copied_home, running_stack, stack_env, wait_until
from tests.releases.traffic import traffic

pytestmark = pytest.mark.slow(
    reason="rollouts of two real engines; test_live_release.py rolls out generators"
)
_SPEC = {
    "steps": [{"weight": 50, "min_duration_s": 1, "min_samples": 60}, {"weight": 100}],
    "analyses": [{"metric": "total_time", "margin": 0.1, "tolerance": 0.1, "min_samples": 30}],
}


@pytest.fixture(scope="module")
def stack(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("slowed")
    slow = with_runtime(bundle, slowed.NAME, home / "slow")
    copied_home(home, bundle)
    env = stack_env(home) | {"ENGINEHOUSE_TICK_S": "0.3", slowed.SHARE_VARIABLE: "1.0"}
    done = call_cli(env, "register", slow.path, "--name", "smollm2")
    assert done.returncode == 0, done.stderr
    with running_stack(env) as running:
        yield running


def _start(stack: RunningStack, overrides: dict[str, str]) -> None:
    with ControllerClient.from_settings(stack.settings) as client:
        client.rollout("smollm2", 2, actor="ada", reason="a test", spec=_SPEC, overrides=overrides)


def _reached(stack: RunningStack, *phases: str) -> dict[str, Any]:
    """The release state once its rollout is in one of the phases."""
    with ControllerClient.from_settings(stack.settings) as client:

        def there() -> bool:
            rollout = client.model("smollm2")["rollout"]
            return rollout is not None and rollout["phase"] in phases

        wait_until(there, f"a rollout that is {phases}", 150.0)
        return client.model("smollm2")


def test_the_performance_gate_refuses_a_slowed_engine(stack: RunningStack) -> None:
    _start(stack, {})
    rollout = _reached(stack, "aborted", "succeeded")["rollout"]
    print(rollout)
    assert rollout["phase"] == "aborted"
    assert "performance" in rollout["abort_reason"]
    registry = Registry(stack.settings)
    assert "performance" in registry.version("smollm2", 2).tags["enginehouse.refused"]
    assert registry.snapshot()["smollm2"].aliases == {"champion": 1}


def test_a_slowed_engine_that_is_let_through_is_aborted_on_its_times(stack: RunningStack) -> None:
    _start(stack, {"performance": "to see what traffic says"})
    # The gates measure on the same two cores.
    _reached(stack, "progressing")
    with traffic(stack.url, rate=6.0, tokens=4) as tally:
        found = _reached(stack, "aborted", "succeeded")
    print(found["rollout"], tally)
    assert found["rollout"]["phase"] == "aborted"
    assert "total_time" in found["rollout"]["abort_reason"]
    assert found["weights"] == {"1": 100}
    assert tally.lost == []
