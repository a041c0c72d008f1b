"""Starting, overloading, breaking, promoting and ending a stack of its own.

What is asked here is what becomes of answers, not what stands in them: the runtime of the stacks
is `token_generator`. `test_embeddings.py` kills the stub of a real engine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from enginehouse.perf.runtimes import token_generator
from enginehouse.registry import Registry
from enginehouse.stack.triton_server import stub_pids

from enginehouse.bundle import Bundle
from enginehouse.settings import load_settings
from tests.conftest import (
    CLI,
    RunningStack,
    call_cli,
    copied_home,
    free_ports,
    registered_home,
    run_cli,
    running_stack,
    stack_env,
    wait_until,
)

#: About the duration of a real engine's step, for two requests at once.
_STEP = {token_generator.STEP_VARIABLE: "10"}
_BODY = {"model": "smollm2", "prompt": "1 2 3", "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, generator_bundle: Bundle) -> Path:
    path = tmp_path_factory.mktemp("lifecycle")
    copied_home(path, generator_bundle)
    return path


@pytest.fixture(scope="module")
def small(whole_machine: None, home: Path) -> Iterator[RunningStack]:
    """Two requests at once and two waiting, so that overload is near."""
    env = stack_env(home, max_batch=2, max_queue=2) | _STEP
    env["ENGINEHOUSE_BETWEEN_TOKENS_TIMEOUT_S"] = "3"
    with running_stack(env) as running:
        yield running


def _complete(stack: RunningStack, tokens: int) -> httpx.Response:
    return httpx.post(
        f"{stack.url}/v1/completions", json=_BODY | {"max_tokens": tokens}, timeout=120.0
    )


def _triton(stack: RunningStack) -> psutil.Process:
    return next(p for p in stack.family() if p.name() == "tritonserver")


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_overload_is_429_with_retry_after_and_the_admitted_finish(small: RunningStack) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: _complete(small, 150), range(10)))
    by_status: dict[int, list[httpx.Response]] = {}
    for answer in answers:
        by_status.setdefault(answer.status_code, []).append(answer)
    assert by_status.keys() == {200, 429}
    assert len(by_status[200]) >= 4
    assert all(a.json()["usage"]["completion_tokens"] == 150 for a in by_status[200])
    for refused in by_status[429]:
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "queue_full"


def test_a_killed_stub_is_repaired_and_its_streams_go_on(small: RunningStack) -> None:
    triton = _triton(small)
    engine = stub_pids(triton.pid)["smollm2.tensorrt_llm/1"]
    body = _BODY | {"max_tokens": 300, "stream": True, "stream_options": {"include_usage": True}}
    with httpx.stream("POST", f"{small.url}/v1/completions", json=body, timeout=60.0) as answer:
        lines = answer.iter_lines()
        next(lines)
        os.kill(engine, signal.SIGKILL)
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2].removeprefix("data: "))["usage"]["completion_tokens"] == 300
    wait_until(lambda: _complete(small, 3).status_code == 200, "an answer after the repair")
    assert stub_pids(triton.pid)["smollm2.tensorrt_llm/1"] != engine
    wait_until(small.ready, "readiness")


def test_a_killed_triton_is_started_again(small: RunningStack) -> None:
    killed = _triton(small)
    killed.kill()
    gone = _complete(small, 3)
    assert (gone.status_code, gone.headers["retry-after"]) == (503, "1")
    assert gone.json()["error"]["code"] == "engine_unavailable"
    wait_until(lambda: _triton_is_new(small, killed.pid), "a new Triton")
    wait_until(lambda: _complete(small, 3).status_code == 200, "an answer", 90.0)


def _triton_is_new(stack: RunningStack, old_pid: int) -> bool:
    return any(p.name() == "tritonserver" and p.pid != old_pid for p in stack.family())


def test_a_second_stack_on_the_same_home_is_refused(small: RunningStack) -> None:
    done = run_cli(stack_env(small.settings.home), "up")
    assert done.returncode == 1
    assert "another stack runs" in done.stderr


@pytest.mark.whole_machine
def test_ctrl_c_ends_everything_and_a_second_up_rebuilds_nothing(
    tmp_path: Path, generator_bundle: Bundle
) -> None:
    copied_home(tmp_path, generator_bundle)
    cached = tmp_path / "cache" / "smollm2" / "1" / "engine.json"
    stamps = []
    for _ in range(2):
        with running_stack(stack_env(tmp_path)) as stack:
            stamps.append(cached.stat().st_mtime_ns)
            family = stack.family()
            assert len(family) >= 6
            os.kill(stack.process.pid, signal.SIGINT)
            wait_until(lambda: stack.process.exit_code is not None, "the end", 30.0)
            assert stack.process.exit_code == 0
            assert _gone(family)
    assert stamps[0] == stamps[1]
    assert not (tmp_path / "bundles").exists()


def test_a_killed_supervisor_takes_its_children_with_it(home: Path, small: RunningStack) -> None:
    """Last of the small stack: nothing may outlive even `kill -9`."""
    family = small.family()
    os.kill(small.process.pid, signal.SIGKILL)
    wait_until(lambda: _gone(family), "an empty process tree", 30.0)


@pytest.mark.slow(reason="a start of twenty seconds; a failed start is below")
def test_a_start_without_a_champion_says_how_to_get_one(tmp_path: Path, bundle: Bundle) -> None:
    copied_home(tmp_path, bundle)
    env = stack_env(tmp_path)
    with Registry(load_settings(env, cwd=tmp_path)).session() as client:
        client.delete_registered_model_alias("smollm2", "champion")
    done = run_cli(env, "up")
    assert done.returncode == 1
    assert "enginehouse promote NAME VERSION" in done.stderr


def test_a_start_without_its_registry_says_so_at_once(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    done = call_cli(stack_env(tmp_path) | {"MLFLOW_TRACKING_URI": address}, "up")
    assert done.returncode == 1
    assert f"the registry at {address}" in done.stderr


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    env = stack_env(tmp_path)
    port = int(env["ENGINEHOUSE_TRITON_GRPC_PORT"])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        done = call_cli(env, "up")
    assert done.returncode == 1
    assert f"port {port} (ENGINEHOUSE_TRITON_GRPC_PORT)" in done.stderr
    assert not (tmp_path / "logs").exists()


def test_a_failed_start_says_why_and_leaves_no_process(tmp_path: Path, bundle: Bundle) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(bundle.path, foreign)
    manifest = json.loads((foreign / "engine.json").read_text())
    manifest["runtime_version"] = "1999.1.0"
    (foreign / "engine.json").write_text(json.dumps(manifest))
    home = tmp_path / "home"
    registered_home(home, Bundle.open(foreign))
    done = run_cli(stack_env(home), "up")
    assert done.returncode == 1
    assert "built with openvino-genai 1999.1.0" in done.stderr
    left = [p for p in psutil.process_iter(["environ"]) if _belongs_to(p, home)]
    assert left == []


def _belongs_to(process: psutil.Process, home: Path) -> bool:
    try:
        return (process.info["environ"] or {}).get("ENGINEHOUSE_HOME") == str(home)
    except psutil.Error:
        return False


def test_the_terminal_chat_streams_an_answer(stack: RunningStack) -> None:
    import subprocess

    done = subprocess.run(
        [*CLI, "chat"], env=stack.env, input="What is the capital of France?\n\n",
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout


def test_status_of_nothing_exits_with_1(tmp_path: Path) -> None:
    done = run_cli(stack_env(tmp_path), "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["api"]["up"] is False
