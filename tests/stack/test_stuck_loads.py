"""A load that will never end is seen, and mended where nothing is lost by it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from enginehouse.stack.stuck_loads import StuckLoads, serves_alone
from enginehouse.stack.triton_server import stub_pids

from enginehouse.bundle import Bundle
from tests.conftest import copied_home, running_stack, stack_env

_ENGINE = "m.tensorrt_llm"


@pytest.fixture
def stuck(tmp_path: Path) -> StuckLoads:
    version = tmp_path / _ENGINE / "1"
    version.mkdir(parents=True)
    (version / "model.py").touch()
    return StuckLoads(tmp_path, patience_s=10.0)


def test_a_part_that_loads_without_a_process_hangs_after_a_while(stuck: StuckLoads) -> None:
    index = [(_ENGINE, "1", "LOADING"), ("m", "1", "LOADING")]
    assert stuck.look("triton", index, [], 0.0) == []
    assert stuck.look("triton", index, [], 9.9) == []
    assert stuck.look("triton", index, [], 10.0) == [f"{_ENGINE}/1"]
    stuck.forget("triton")
    assert stuck.look("triton", index, [], 10.5) == []


def test_a_part_whose_process_lives_loads_as_long_as_it_likes(stuck: StuckLoads) -> None:
    index = [(_ENGINE, "1", "LOADING")]
    stuck.look("triton", index, [], 0.0)
    assert stuck.look("triton", index, [f"{_ENGINE}/1"], 5.0) == []
    assert stuck.look("triton", index, [], 12.0) == []
    assert stuck.look("triton", index, [], 22.0) == [f"{_ENGINE}/1"]


def test_replicas_are_told_apart(stuck: StuckLoads) -> None:
    loading, ready = [(_ENGINE, "1", "LOADING")], [(_ENGINE, "1", "READY")]
    for now in (0.0, 10.0):
        first = stuck.look("triton", ready, [], now)
        second = stuck.look("triton-1", loading, [], now)
    assert (first, second) == ([], [f"{_ENGINE}/1"])


def test_a_replica_serves_alone_what_no_other_has_ready() -> None:
    one, two = [(_ENGINE, "1", "READY")], [(_ENGINE, "1", "READY"), (_ENGINE, "2", "LOADING")]
    assert serves_alone("a", {"a": one, "b": [(_ENGINE, "1", "LOADING")]})
    assert not serves_alone("b", {"a": one, "b": two})
    assert not serves_alone("b", {"a": [], "b": [("m", "1", "READY")]})


@pytest.mark.slow(reason="a stack whose engine is killed at sight until a load hangs")
@pytest.mark.whole_machine
def test_a_stub_killed_as_it_starts_does_not_keep_the_stack_from_serving(
    tmp_path: Path, bundle: Bundle
) -> None:
    copied_home(tmp_path, bundle)
    env = stack_env(tmp_path)
    log = tmp_path / "up.log"
    killer = threading.Thread(target=_kill_engine_stubs_until_one_hangs, args=(env, log))
    killer.start()
    with running_stack(env) as stack:
        killer.join()
        assert stack.ready()
    assert "smollm2.tensorrt_llm/1 hangs in loading" in log.read_text()


def _kill_engine_stubs_until_one_hangs(env: dict[str, str], log: Path) -> None:
    """Only a stub that dies as it connects leaves its version hanging: each is killed at sight."""
    port = f"--grpc-port={env['ENGINEHOUSE_TRITON_GRPC_PORT']}"
    until = time.monotonic() + 90.0
    triton: psutil.Process | None = None
    while time.monotonic() < until and "hangs in loading" not in _text(log):
        if triton is None:
            triton = next((p for p in psutil.process_iter() if port in _argv(p)), None)
            continue
        pid = stub_pids(triton.pid).get("smollm2.tensorrt_llm/1")
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _argv(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
