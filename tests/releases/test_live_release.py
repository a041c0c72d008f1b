"""Two real Tritons, a real MLflow server, live traffic: nothing may be lost, whatever happens.

One stack for all; the tests run in the order in which they stand, under the same traffic, and the
last one reads the counts. The versions' runtime is `token_generator`: two replicas with two real
engines each would leave two cores nothing for the traffic. Releases of real engines are in
`test_slowed_engine.py`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from enginehouse.client.controller import ControllerClient
from enginehouse.perf.private_stack import with_runtime
from enginehouse.perf.runtimes import token_generator
from enginehouse.registry import Registry
from enginehouse.stack.triton_server import stub_pids

from enginehouse.admin_token import ensure_admin_token
from enginehouse.bundle import Bundle
from enginehouse.errors import ControllerError
from enginehouse.triton_control import http_headers, triton_control_secret
from tests.conftest import RunningStack, call_cli, running_stack, stack_env, wait_until
from tests.mlflow_server import MlflowServer
from tests.releases.traffic import Tally, traffic

_SPEC = {
    "steps": [
        {"weight": 0, "shadow": 0.5, "min_duration_s": 1, "min_samples": 3},
        {"weight": 30, "min_duration_s": 1, "min_samples": 25, "scrutiny": 50},
        {"weight": 50, "min_duration_s": 1, "min_samples": 25, "scrutiny": 50},
        {"weight": 100, "min_duration_s": 1, "min_samples": 10},
    ],
    "analyses": [
        {"metric": "error_rate", "margin": 0.1, "min_samples": 20},
        {"metric": "total_time", "margin": 0.5, "tolerance": 0.5, "min_samples": 20},
    ],
}
_PATIENCE_S = 150.0
_RATE = 20.0
#: So that a stream of 100 tokens lasts a second, and something happens to it.
_STEP_MS = "10"
_STUBS_KILLED = 4
#: Two replicas share two cores with everything else: their speed says nothing.
_OVERRIDES = {"performance": "two cores for two replicas"}


@dataclass
class Live:
    """The stack under traffic, and what asks its controller."""

    stack: RunningStack
    server: MlflowServer
    tally: Tally
    registry: Registry

    def client(self) -> ControllerClient:
        return ControllerClient.from_settings(self.stack.settings)

    def model(self) -> dict[str, Any]:
        """The release state; empty while the controller is away."""
        with self.client() as client:
            try:
                return client.model("smollm2")
            except ControllerError:
                return {}

    def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        last: dict[str, Any] = {}

        def holds() -> bool:
            nonlocal last
            last = self.model()
            return bool(last) and condition(last)

        try:
            wait_until(holds, what, _PATIENCE_S)
        except AssertionError:
            log = (self.stack.settings.logs_dir / "controller.log").read_text()
            raise AssertionError(f"{what}: {json.dumps(last, indent=1)}\n{log[-3000:]}") from None
        return last

    def phase(self, *phases: str) -> dict[str, Any]:
        return self.until(
            lambda m: m["rollout"] is not None and m["rollout"]["phase"] in phases,
            f"phase {phases}",
        )

    def start(self, version: int, **spec: Any) -> None:
        with self.client() as client:
            client.rollout(
                "smollm2",
                version,
                actor="ada",
                reason="a test",
                spec=_SPEC | spec,
                overrides=_OVERRIDES,
            )

    def kill_controller(self) -> None:
        before = self._controller()
        before.kill()
        wait_until(lambda: self._alive(before.pid), "another controller")

    def _alive(self, old: int) -> bool:
        try:
            return self._controller().pid != old and bool(self.model())
        except StopIteration:
            return False

    def _controller(self) -> psutil.Process:
        return next(
            p for p in self.stack.family() if _is_running(p) and p.cmdline()[-1:] == ["controller"]
        )

    def tritons(self) -> list[psutil.Process]:
        return [p for p in self.stack.family() if p.name() == "tritonserver" and _is_running(p)]

    def replicas(self) -> list[dict[str, Any]]:
        settings = self.stack.settings
        answer = httpx.get(
            f"{settings.addresses.controller_url}/v1/replicas",
            headers={"Authorization": f"Bearer {settings.admin_token_path.read_text().strip()}"},
        )
        found: list[dict[str, Any]] = answer.json()["replicas"]
        return found

    def busy(self) -> bool:
        """Whether a replica is being moved, or has a version that is to go."""
        return any(r["busy"] or 2 in r["models"]["smollm2"] for r in self.replicas())

    def ready_everywhere(self, version: int) -> bool:
        """Whether both replicas are up and have the version."""
        found = self.replicas()
        return len(found) == 2 and all(r["up"] and version in r["models"]["smollm2"] for r in found)

    def both_answer(self) -> bool:
        """Whether the Triton processes of both replicas call the model ready."""
        addresses = self.stack.settings.addresses
        urls = [addresses.replica(index).triton_http_url for index in range(2)]
        try:
            return all(httpx.get(f"{url}/v2/models/smollm2/ready").is_success for url in urls)
        except httpx.HTTPError:
            return False

    def served_from_now(self, count: int) -> set[str]:
        """Versions that answer `count` requests, all sent later than a second from now."""
        since = time.monotonic() + 1.0

        def sent_later() -> list[str]:
            return [version for sent_at, version in list(self.tally.newest) if sent_at > since]

        wait_until(lambda: len(sent_later()) >= count, "answers")
        return set(sent_later())


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def live(
    whole_machine: None,
    tmp_path_factory: pytest.TempPathFactory,
    bundle: Bundle,
    mlflow_server: MlflowServer,
) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("live")
    made = with_runtime(bundle, token_generator.NAME, home / "generator")
    env = stack_env(home) | {
        token_generator.STEP_VARIABLE: _STEP_MS,
        "MLFLOW_TRACKING_URI": mlflow_server.url,
        "ENGINEHOUSE_REPLICAS": "2",
        "ENGINEHOUSE_TICK_S": "0.3",
        "ENGINEHOUSE_DRAIN_S": "30",
    }
    for command in (
        ("register", made.path, "--name", "smollm2"),
        ("register", made.path, "--name", "smollm2"),
        ("promote", "smollm2", 1),
    ):
        done = call_cli(env, *command)
        assert done.returncode == 0, done.stderr
    with (
        running_stack(env) as stack,
        traffic(stack.url, rate=_RATE, tokens=1) as tally,
        traffic(stack.url, rate=0.5, tokens=100) as long_streams,
    ):
        yield Live(stack, mlflow_server, tally, Registry(stack.settings))
    print(f"\nshort requests: {tally}\nlong streams: {long_streams}")
    assert tally.lost == []
    assert long_streams.lost == []
    assert long_streams.requests > 20


def test_a_rollout_reaches_its_end_though_its_controller_dies(live: Live) -> None:
    live.until(lambda m: m["ready"] == [1], "version 1")
    assert len(_rolled_out(live, at_most=1)) == 1


def _rolled_out(live: Live, *, at_most: int) -> list[str]:
    """Release version 2 and kill so many controllers, each at another step; where they were."""
    live.start(2)
    killed: list[str] = []
    seen = ""
    while not seen.startswith(("succeeded", "aborted")):
        found = live.until(
            lambda m, seen=seen: _place(m) != seen,  # type: ignore[misc]
            f"something after {seen}",
        )
        seen = _place(found)
        if not seen.startswith(("succeeded", "aborted")) and len(killed) < at_most:
            killed.append(seen)
            live.kill_controller()
    print(f"\ncontroller killed at: {killed}")
    assert seen.startswith("succeeded"), live.model()
    assert live.served_from_now(20) == {"2"}
    snapshot = live.registry.snapshot()["smollm2"]
    assert snapshot.aliases == {"champion": 2, "previous": 1}
    return killed


def _place(model: dict[str, Any]) -> str:
    return f"{model['rollout']['phase']} {model['weights']}"


def test_a_rollback_moves_all_new_traffic_at_once_and_prints_its_time(live: Live) -> None:
    done = call_cli(live.stack.env, "rollback", "smollm2", "--reason", "a test")
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    assert "all new traffic on version 1 after" in done.stdout
    assert live.served_from_now(20) == {"1"}
    wait_until(
        lambda: live.registry.snapshot()["smollm2"].aliases == {"champion": 1}, "the aliases"
    )


_MORE = pytest.mark.slow(reason="one more rollout, to another end, under the same traffic")


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param("preparing", marks=_MORE),
        "progressing",
        pytest.param("paused", marks=_MORE),
    ],
)
def test_an_abort_returns_all_traffic_to_the_champion(live: Live, phase: str) -> None:
    slow = [{"weight": 40, "min_duration_s": 600}, {"weight": 100}]
    live.start(2, steps=slow)
    with live.client() as client:
        if phase != "preparing":
            live.phase("progressing")
        if phase == "paused":
            client.pause("smollm2", actor="ada", reason="a test")
        live.phase(phase)
        answer = client.abort("smollm2", actor="ada", reason="a test")
    assert answer["adapters"] == 1
    assert live.served_from_now(20) == {"1"}
    assert "aborted by ada" in live.registry.version("smollm2", 2).tags["enginehouse.refused"] or (
        phase == "preparing"
    )


@_MORE
def test_mlflow_may_be_restarted_during_a_rollout(live: Live) -> None:
    live.start(2, steps=[{"weight": 40, "min_duration_s": 600}, {"weight": 100}])
    live.phase("progressing")
    live.server.stop()
    begin = len(live.tally.newest)
    wait_until(lambda: len(live.tally.newest) > begin + 60, "traffic without MLflow")
    live.server.start()
    with live.client() as client:
        wait_until(lambda: _accepted(lambda: client.abort("smollm2", actor="ada", reason="t")),
                   "the abort")  # fmt: skip
    assert live.served_from_now(20) == {"1"}


def _accepted(call: Callable[[], object]) -> bool:
    try:
        call()
    except ControllerError:
        return False
    return True


@_MORE
def test_a_challenger_whose_engine_keeps_dying_is_aborted(live: Live) -> None:
    live.start(2, steps=[{"weight": 40, "min_duration_s": 600}, {"weight": 100}])
    live.phase("progressing")
    killed: set[int] = set()
    until = time.monotonic() + _PATIENCE_S
    while live.model().get("rollout", {}).get("phase") != "aborted":
        assert time.monotonic() < until, live.model()
        # Only engines that serve: Triton 2.51 may wait for ever for one that dies while it loads.
        ready = live.ready_everywhere(2)
        for triton in live.tritons() if ready else ():
            engine = stub_pids(triton.pid).get("smollm2.tensorrt_llm/2")
            if engine is not None and engine not in killed and len(killed) < _STUBS_KILLED:
                killed.add(engine)
                os.kill(engine, signal.SIGKILL)
        time.sleep(0.2)
    assert live.model()["rollout"]["abort_reason"].startswith("guard")
    assert live.served_from_now(20) == {"1"}


def test_a_version_unloaded_by_hand_comes_back(live: Live) -> None:
    url = live.stack.settings.addresses.replica(1).triton_http_url
    control = http_headers(triton_control_secret(ensure_admin_token(live.stack.settings)))
    unload = f"{url}/v2/repository/models/smollm2.postprocessing/unload"
    httpx.post(unload, headers=control).raise_for_status()
    with live.client():
        wait_until(lambda: live.ready_everywhere(1), "the part that was unloaded", _PATIENCE_S)


def test_a_killed_replica_loses_no_stream_and_comes_back(live: Live) -> None:
    # A step that is under way would hide the loss: it is tried again on the new process.
    wait_until(lambda: not live.busy(), "the repairs of the test before", _PATIENCE_S)
    killed = live.tritons()[1]
    killed.kill()
    # Its end may fall between two looks of the controller: the new process itself is asked.
    wait_until(lambda: not _is_running(killed), "its end")
    wait_until(live.both_answer, "its versions", _PATIENCE_S)
    wait_until(lambda: live.ready_everywhere(1), "the controller", _PATIENCE_S)


@pytest.mark.slow(reason="one more promotion, under the same traffic")
def test_moving_the_alias_in_mlflow_promotes(live: Live) -> None:
    live.registry.set_alias("smollm2", "champion", 2)
    live.until(lambda m: m["champion"] == 2, "the champion 2")
    assert live.served_from_now(20) == {"2"}
    shown = call_cli(live.stack.env, "rollout", "history", "smollm2", "--json")
    history = json.loads(shown.stdout)
    assert history[0]["champion"] == 1
    assert history[0]["challenger"] == 2
    assert {release["outcome"] for release in history} <= {"succeeded", "aborted"}


@pytest.mark.slow(reason="a controller starts again at each step; one step is above")
def test_a_rollout_reaches_its_end_though_its_controller_dies_at_every_step(live: Live) -> None:
    done = call_cli(live.stack.env, "rollback", "smollm2", "--to", 1, "--reason", "x")
    assert done.returncode == 0, done.stderr
    live.until(lambda m: m["champion"] == 1, "version 1")
    assert len(_rolled_out(live, at_most=100)) >= 4


def test_counts_are_printed_and_nothing_was_lost(live: Live, capsys: Any) -> None:
    with capsys.disabled():
        print(f"\n{live.tally}")
    assert live.tally.lost == []
    assert live.tally.requests > 500


def test_home_holds_nothing_that_is_not_for_its_owner_alone(live: Live) -> None:
    token = Path(live.stack.settings.admin_token_path)
    assert token.stat().st_mode & 0o777 == 0o600
