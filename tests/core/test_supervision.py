"""No background loop ends in silence."""

from __future__ import annotations

import ast
import asyncio
import logging
import threading
from pathlib import Path

import pytest

from enginehouse.retry import RetryPolicy
from enginehouse.supervision import SupervisedThread, Supervisor, start_job, start_loop
from tests.conftest import wait_until

_ROOT = Path(__file__).parents[2]
_ROOMS = (
    *("enginehouse", "engine", "build", "model_repository", "client", "registry", "api"),
    *("gateway", "stack", "cli"),
)
_STARTERS = ("create_task", "ensure_future", "Thread", "Timer")
#: ``file: what is started`` → why it needs no supervisor. Errors of a task that is awaited by its
#: starter reach the starter.
_REASONS = {
    "enginehouse/supervision.py: create_task": "the supervisor itself",
    "enginehouse/telemetry.py: Timer": "fires once, to cut an export short while closing",
    "engine/loop.py: Thread": "breaks down by its own rule: it fails every waiting request",
    "engine/senders.py: Thread": "hands each call's error to the step that made the call",
    "engine/tensorrt_llm.py: Thread": "is asyncio's own loop; what runs on it is awaited",
    "engine/tensorrt_llm.py: create_task": "hands its error to the slot, which the loop reads",
    "client/sync.py: Thread": "one stream's reader, which hands its error to the stream",
    "client/aio.py: create_task": "awaited: parts of one embeddings request",
    "api/choices.py: create_task": "awaited: one choice of a request",
    "api/streaming.py: create_task": "awaited: the request itself, and its disconnection",
    "api/directory.py: create_task": "awaited: a look that several callers share",
    "gateway/access/keyring.py: create_task": "logs its own end; a request may await it",
    "gateway/batches/runner.py: create_task": "logs its own end; the batch is taken again",
    "gateway/fallback/run.py: create_task": "awaited: the first chunk of an answer",
    "gateway/prompts/remembered.py: create_task": "awaited: a look that several callers share",
    "gateway/shadow/shadow.py: create_task": "logs and counts every end of a shadow copy itself",
}


def _started(path: Path) -> set[str]:
    """Names of what a file starts without the supervisor."""
    calls = (n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
    names = {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}
    bases = (b for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)
             for b in n.bases)  # fmt: skip
    names |= {b.attr if isinstance(b, ast.Attribute) else getattr(b, "id", "") for b in bases}
    return names & set(_STARTERS)


def test_every_task_and_thread_is_supervised_or_has_a_reason() -> None:
    found = {
        f"{path.relative_to(_ROOT)}: {name}"
        for room in _ROOMS
        for path in (_ROOT / room).rglob("*.py")
        for name in _started(path)
    }
    found -= {"enginehouse/supervision.py: Thread"}
    assert found == set(_REASONS)


@pytest.mark.parametrize(
    "text",
    ["asyncio.create_task(f())", "Thread(target=f)", "class A(threading.Thread): ...",
     "loop.create_task(f())", "threading.Timer(1, f)", "asyncio.ensure_future(f())"],
)  # fmt: skip
def test_the_walk_finds_what_is_started(tmp_path: Path, text: str) -> None:
    path = tmp_path / "planted.py"
    path.write_text(text)
    assert _started(path)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enginehouse.supervision._RESTARTS", RetryPolicy(None, 0.0))


@pytest.mark.usefixtures("no_pause")
def test_a_loop_that_fails_is_logged_counted_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor, runs = Supervisor(), []

    async def loop() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ZeroDivisionError("nobody foresaw it")

    async def run() -> None:
        await start_loop("a-loop", loop, supervisor)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert len(runs) == 3
    assert supervisor.failures() == {"a-loop": 2}
    record = caplog.records[0]
    assert "a-loop" in record.getMessage()
    assert record.exc_info is not None
    assert supervisor.failing() == {}


def test_a_cancelled_loop_ends_at_once_also_while_it_pauses() -> None:
    supervisor = Supervisor()

    async def run() -> None:
        failed = asyncio.Event()

        async def loop() -> None:
            # The supervisor pauses in the same step of the event loop.
            asyncio.get_running_loop().call_soon(failed.set)
            raise KeyError("x")

        task = start_loop("a-loop", loop, supervisor)
        await failed.wait()
        assert supervisor.failing() == {"a-loop": "KeyError"}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert supervisor.failing() == {}
    assert supervisor.failures() == {"a-loop": 1}


def test_a_job_that_nobody_awaits_is_counted() -> None:
    supervisor = Supervisor()

    async def job() -> None:
        raise ValueError("x")

    async def run() -> None:
        await asyncio.wait([start_job("a-job", job(), supervisor)])

    asyncio.run(run())
    assert supervisor.failures() == {"a-job": 1}


@pytest.mark.usefixtures("no_pause")
def test_a_thread_that_fails_goes_on_and_ends_when_it_is_joined() -> None:
    supervisor, runs, ending = Supervisor(), [], threading.Event()

    def loop() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise OSError("nobody foresaw it")
        ending.wait()

    thread = SupervisedThread("a-thread", loop, supervisor=supervisor)
    thread.start()
    wait_until(lambda: len(runs) == 3, "the third run")
    assert supervisor.failures() == {"a-thread": 2}
    assert "a-thread" in supervisor.failing()
    ending.set()
    thread.join()
    assert supervisor.failing() == {}


def test_joining_a_thread_that_pauses_runs_it_a_last_time() -> None:
    supervisor, runs = Supervisor(), []

    def loop() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise OSError("x")

    thread = SupervisedThread("a-thread", loop, supervisor=supervisor)
    thread.start()
    wait_until(lambda: bool(supervisor.failing()), "the failure")
    thread.join()
    assert len(runs) == 2


def test_pauses_grow_to_half_a_minute_and_begin_again_after_a_minute_without_errors() -> None:
    clock = Clock()
    supervisor = Supervisor(clock)
    pauses = []
    for _ in range(9):
        pauses.append(supervisor.failed("x", ValueError()))
        clock.now += pauses[-1]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    clock.now += 61
    assert supervisor.failing() == {}
    assert supervisor.failed("x", ValueError()) == 0.5


def test_a_loop_that_fails_for_five_minutes_fails_the_liveness_probe() -> None:
    clock = Clock()
    supervisor = Supervisor(clock)
    assert supervisor.liveness() == ({"status": "live"}, 200)
    began = clock.now
    while clock.now - began < 300:
        clock.now += supervisor.failed("x", ValueError("a secret path"))
        body, status = supervisor.liveness()
        assert body["failing"] == {"x": "ValueError"}
        assert status == (200 if clock.now - began < 300 else 503)
    assert supervisor.liveness()[0]["status"] == "stuck"
    clock.now += 91
    assert supervisor.liveness() == ({"status": "live"}, 200)


def _every_loop() -> dict[str, str]:
    """Name of each supervised loop → its file."""
    found = {}
    for room in _ROOMS:
        for path in (_ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _called(node.func) in {
                    "start_loop", "start_thread", "start_job", "SupervisedThread"
                }:  # fmt: skip
                    found[ast.unparse(node.args[0])] = str(path.relative_to(_ROOT))
    return found


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def test_the_page_on_resilience_lists_every_loop() -> None:
    page = (_ROOT / "docs" / "resilience.md").read_text()
    names = {n for n in _every_loop() if n.startswith(("'", '"'))}
    assert len(names) > 15
    assert {name for name in names if f"`{name[1:-1]}`" not in page} == set()
