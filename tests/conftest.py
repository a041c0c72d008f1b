"""What tests share: the default bundle, built once, and a real stack, started once."""

from __future__ import annotations

import fcntl
import functools
import gc
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import hypothesis
import psutil
import pytest
from click.testing import CliRunner
from enginehouse.build.default_checkpoint import default_checkpoint
from enginehouse.cli import main
from enginehouse.stack.process import ManagedProcess

from enginehouse.bundle import Bundle
from enginehouse.settings import Settings, load_settings
from tests.made_once import made_once

# httpx reads all authorities for every client and every request without one, 0.04 s of CPU each:
# a test that polls would keep a core from the stack that it waits for.
ssl.create_default_context = functools.cache(ssl.create_default_context)

_TESTS = Path(__file__).parent
CLI = [sys.executable, "-m", "enginehouse"]
START_TIMEOUT_S = 120.0
#: Verdicts of the stack `both`.
BOTH_READY = {"minilm": "ready", "smollm2": "ready"}
_VARIABLES = ("API", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "CONTROLLER")


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Poll a condition; the timeout only turns a hang into a failure."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"{what}: not after {timeout_s} s"
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def stack_env(home: Path, **engine: object) -> dict[str, str]:
    """Environment of a stack of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("ENGINEHOUSE_")}
    env["ENGINEHOUSE_HOME"] = str(home)
    for name, port in zip(_VARIABLES, free_ports(len(_VARIABLES)), strict=True):
        env[f"ENGINEHOUSE_{name}_PORT"] = str(port)
    for name, value in engine.items():
        env[f"ENGINEHOUSE_ENGINE_{name.upper()}"] = str(value)
    return env


def run_cli(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*CLI, *map(str, arguments)], env=env, capture_output=True, text=True, check=False
    )


def call_cli(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """`run_cli` in this process, where a process is not the point: imports take seconds."""
    argv = list(map(str, arguments))
    removed: dict[str, str | None] = {name: None for name in os.environ if name not in env}
    with (
        CliRunner().isolation(env=removed | env) as (out, err, _),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["enginehouse", *argv])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
        texts = [stream.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(
        argv, code if isinstance(code, int) else int(bool(code)), *texts
    )


@dataclass
class RunningStack:
    """A stack that `enginehouse up` runs."""

    settings: Settings
    env: dict[str, str]
    process: ManagedProcess

    @property
    def url(self) -> str:
        return self.settings.addresses.api_url

    @property
    def grpc(self) -> str:
        return self.settings.addresses.triton_grpc_url

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=30.0).is_success
        except httpx.HTTPError:
            return False

    def verdicts(self) -> dict[str, str]:
        """What the adapter's readiness says of each model."""
        found = httpx.get(f"{self.url}/health/ready", timeout=30.0).json()["models"]
        return {name: str(verdict) for name, verdict in found.items()}

    def engine_metric(self, name: str) -> float:
        """A figure of the engine, from Triton's metrics page, summed over versions."""
        page = httpx.get(self.settings.addresses.triton_metrics_url, timeout=10.0).text
        full = f"enginehouse_engine_{name}{{"
        values = [float(line.split()[-1]) for line in page.splitlines() if line.startswith(full)]
        assert values, f"{full} is not on the metrics page"
        return sum(values)

    def guide_violations(self) -> float:
        """Finished answers that broke their schema; 0 also where no engine is left to ask."""
        try:
            page = httpx.get(self.settings.addresses.triton_metrics_url, timeout=10.0).text
        except httpx.HTTPError:
            return 0
        name = "enginehouse_guide_violations_total{"
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))

    def family(self) -> list[psutil.Process]:
        """The stack's process and all below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]


class _Current:
    """The test that runs; what is no test may start a stack."""

    may_start = True


@contextmanager
def running_stack(env: dict[str, str]) -> Iterator[RunningStack]:
    """`enginehouse up` until the block ends, and the proof that nothing is left of it."""
    assert _Current.may_start, (
        "mark this test `whole_machine`: it would start a stack beside another"
    )
    settings = load_settings(env, cwd=Path.cwd())
    log = settings.home / "up.log"
    stack = RunningStack(settings, env, ManagedProcess("up", [*CLI, "up"], env, log))
    try:
        wait_until(
            lambda: stack.ready() or not stack.process.running(), "the stack", START_TIMEOUT_S
        )
        assert stack.process.running(), stack.process.log_tail(40)
        yield stack
        assert stack.guide_violations() == 0
    finally:
        stack.process.stop(15.0)


# Random examples: a few in `make test`, more in `make test-all` (`--hypothesis-profile thorough`).
hypothesis.settings.register_profile("quick", max_examples=100, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=450, deadline=None)
hypothesis.settings.load_profile("quick")


@pytest.fixture(autouse=True)
def tables_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """See `tests/mlflow_tables.py`; only tests whose process has MLflow's client need it."""
    if (reader := sys.modules.get("enginehouse.registry.reader")) is not None:
        from tests.mlflow_tables import connect_to_a_copy

        monkeypatch.setattr(reader, "connect", connect_to_a_copy)


@pytest.fixture(scope="session")
def whole_machine() -> None:
    """Requested by each fixture that starts a stack or an engine; marks the tests that use it."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A stack that no mark announces would run beside another one: see `running_stack`."""
    _Current.may_start = item.get_closest_marker("whole_machine") is not None


#: Folders of tests that start a stack or an engine; a run of these alone imports no others.
_WHOLE_MACHINE_FOLDERS = frozenset(
    {"client", "clients", "endpoint", "engine", "perf", "releases", "stack"}
)
#: A module that says so has no other tests; a run without them does not import its client library.
_WHOLE_MACHINE_MODULE = "\npytestmark = pytest.mark.whole_machine\n"
_SLOW_MODULE = "\npytestmark = pytest.mark.slow("


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Imports of what a run leaves out took it as long as a tenth of its tests."""
    only = config.option.markexpr
    top = collection_path.is_dir() and collection_path.parent == _TESTS
    if only.startswith("whole_machine") and top:
        return collection_path.name not in _WHOLE_MACHINE_FOLDERS or None
    left_out = [_WHOLE_MACHINE_MODULE] if only.startswith("not whole_machine") else []
    left_out += [_SLOW_MODULE] if "not slow" in only else []
    if left_out and collection_path.name.startswith("test_") and collection_path.suffix == ".py":
        text = collection_path.read_text("utf-8")
        return any(mark in text for mark in left_out) or None
    return None


def pytest_sessionstart() -> None:
    """Imports make objects by the million and hardly any garbage: the collector waits for them."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use a stack or an engine run one at a time, the others beside them."""
    for item in items:
        if "whole_machine" in getattr(item, "fixturenames", ()):
            item.add_marker("whole_machine")
        marked = item.get_closest_marker("whole_machine") is not None
        if marked and item.path.relative_to(_TESTS).parts[0] not in _WHOLE_MACHINE_FOLDERS:
            raise pytest.UsageError(f"{item.nodeid}: whole_machine is for {_WHOLE_MACHINE_FOLDERS}")
        for slow in item.iter_markers("slow"):
            if slow.args or not slow.kwargs.get("reason"):
                raise pytest.UsageError(f"{item.nodeid}: @pytest.mark.slow needs reason=...")


def _built_once(factory: pytest.TempPathFactory, checkpoint: str, name: str) -> Bundle:
    """A bundle that all workers of a run, and all runs of one `make test`, share."""
    shared = os.environ.get("ENGINEHOUSE_TEST_BUNDLES")
    home = Path(shared) if shared else factory.mktemp(name)
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "bundles" / name).exists():
            done = run_cli(stack_env(home), "build", checkpoint, "--name", name)
            assert done.returncode == 0, done.stderr
    return Bundle.open(home / "bundles" / name)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model's bundle, built by the command line."""
    return _built_once(tmp_path_factory, str(default_checkpoint()), "smollm2")


@pytest.fixture(scope="session")
def embedding_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The packaged embedding model's bundle, built by the command line."""
    return _built_once(tmp_path_factory, "all-minilm-l6-v2", "minilm")


@pytest.fixture(scope="session")
def generator_bundle(bundle: Bundle) -> Bundle:
    """The default bundle with a runtime that makes tokens without an engine.

    For stacks whose tests ask what happens to answers and not what stands in them: it starts in
    less time, and a step costs no CPU. `token_generator.STEP_VARIABLE` sets a step's duration.
    """
    from enginehouse.perf.private_stack import with_runtime
    from enginehouse.perf.runtimes import token_generator

    made = bundle.path.parent / "generator"
    return Bundle.open(
        made_once(made, lambda part: with_runtime(bundle, token_generator.NAME, part))
    )


def copied_home(home: Path, bundle: Bundle) -> None:
    """`registered_home`, from a copy of one that all runs of one `make test` share.

    MLflow's migrations and imports take ten seconds a home. The artefacts stay with the one that
    was copied: not for tests that delete versions.
    """
    made = bundle.path.parent.parent / "registered" / bundle.path.name
    made.parent.mkdir(exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made / "complete").exists():
            shutil.rmtree(made, ignore_errors=True)
            registered_home(made, bundle)
            (made / "complete").touch()
    left_out = shutil.ignore_patterns("artifacts")
    shutil.copytree(made / "registry", home / "registry", ignore=left_out)


def registered_home(home: Path, bundle: Bundle) -> None:
    """A home whose registry has the bundle as champion of smollm2."""
    env = stack_env(home)
    for command in (("register", bundle.path, "--name", "smollm2"), ("promote", "smollm2", 1)):
        done = call_cli(env, *command)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def both(
    whole_machine: None,
    tmp_path_factory: pytest.TempPathFactory,
    bundle: Bundle,
    embedding_bundle: Bundle,
) -> Iterator[RunningStack]:
    """A text generator and an embedding model of two versions, the first of which serves."""
    home = tmp_path_factory.mktemp("both")
    copied_home(home, bundle)
    env = stack_env(home)
    register = ("register", embedding_bundle.path, "--name", "minilm")
    for command in (register, register, ("promote", "minilm", 1)):
        done = call_cli(env, *command)
        assert done.returncode == 0, done.stderr
    with running_stack(env) as running:
        # The adapter is ready with what there is; the second model comes a moment later.
        wait_until(lambda: running.verdicts() == BOTH_READY, "both models")
        yield running


@pytest.fixture(scope="session")
def stack(both: RunningStack) -> RunningStack:
    """The stack that most tests ask; they leave it as they found it.

    It is `both`: a start takes 15 seconds, and a model that nobody asks changes no answer.
    """
    return both
