"""`enginehouse up`: everything on one machine, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event

import httpx

from enginehouse.client import TritonClient
from enginehouse.errors import RegistryError, ServingError, StackError
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.registry import BundleCache, Registry
from enginehouse.registry.reconciler import Reconciler
from enginehouse.settings import Settings
from enginehouse.stack.default_model import ensure_model
from enginehouse.stack.overrides import override_settings
from enginehouse.stack.ports import check_ports
from enginehouse.stack.process import ManagedProcess
from enginehouse.stack.supervisor import EngineWatch
from enginehouse.stack.triton_server import start_triton

_START_TIMEOUT_S = 60.0
_TICK_S = 1.0
_TRITON_PATIENCE_S = 6.0
_API_PATIENCE_S = 2.0

Report = Callable[[str], None]


class Stack:
    """Triton, the adapter, and the supervisor's loop over both."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], report: Report) -> None:
        self._settings = settings
        self._environ = dict(environ)
        self._report = report
        self._stopping = Event()
        self._triton: ManagedProcess | None = None
        self._api: ManagedProcess | None = None
        self._control = TritonClient(settings.addresses.triton_grpc_url)
        registry = Registry(settings)
        self._registry = registry
        self._reconciler = Reconciler(
            registry,
            BundleCache(settings.cache_dir, registry),
            ModelRepository(settings.model_repository_dir, settings.compat_model),
            self._control,
            report,
            lambda engine: override_settings(engine, self._environ),
        )
        self._watch = EngineWatch(self._reconciler, settings.addresses.triton_grpc_url, report)

    def stop(self) -> None:
        """Ask `run` to return; safe in a signal handler."""
        self._stopping.set()

    def run(self, ready: Callable[[dict[str, int]], None]) -> None:
        """Start everything, call `ready` with what is served, and supervise until `stop`.

        Raises:
            EnginehouseError: if something cannot start; all that was started has then ended.
        """
        with ExitStack() as cleanup:
            cleanup.callback(self._control.close)
            cleanup.callback(self._watch.close)
            cleanup.callback(self._end_processes)
            cleanup.callback(self._report, "stopping")
            cleanup.enter_context(_exclusive(self._settings))
            check_ports(self._settings.addresses)
            self._start()
            if not self._stopping.is_set():
                ready(self._reconciler.serving)
            while not self._stopping.wait(_TICK_S):
                self._tick()

    def _start(self) -> None:
        # Both start while MLflow is imported, so that the engine then loads undisturbed.
        self._start_triton()
        self._start_api()
        ensure_model(self._settings, self._registry, self._report)
        self._wait(self._control.live, "triton")
        self._reconciler.load_all()
        if not self._reconciler.serving:
            raise StackError(
                "no model has a champion: promote one with `enginehouse promote NAME VERSION`"
            )
        self._wait(self._ready, "api")

    def _start_triton(self) -> None:
        self._report("starting Triton")
        self._triton = start_triton(self._settings, self._environ)

    def _start_api(self) -> None:
        argv = [sys.executable, "-m", "enginehouse.api"]
        env = {**self._environ, "ENGINEHOUSE_HOME": str(self._settings.home)}
        self._api = ManagedProcess("api", argv, env, self._settings.logs_dir / "api.log")

    def _ready(self) -> bool:
        """Whether the adapter finds every champion ready; it sees them one after the other."""
        url = f"{self._settings.addresses.api_url}/health/ready"
        try:
            answer = httpx.get(url, timeout=10.0, trust_env=False)
        except httpx.HTTPError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        return set(self._reconciler.serving) <= set(answer.json()["models"])

    def _wait(self, condition: Callable[[], bool], name: str) -> None:
        """Poll until `condition` holds, a child ends, or we are to stop."""
        until = time.monotonic() + _START_TIMEOUT_S
        while not self._stopping.is_set() and not condition():
            for child in self._children():
                if not child.running():
                    raise StackError(
                        f"{child.name} ended with exit code {child.exit_code}; the end of "
                        f"{child.log}:\n{child.log_tail()}"
                    )
            if time.monotonic() > until:
                raise StackError(
                    f"{name} was not ready after {_START_TIMEOUT_S:.0f} s; see "
                    f"{self._settings.logs_dir}"
                )
            self._stopping.wait(0.05)

    def _tick(self) -> None:
        """One look at everything. The registry being away does not stop serving."""
        try:
            self._keep_processes()
            if self._triton is not None:
                self._watch.step(self._triton.pid)
            self._reconciler.step()
        except RegistryError as error:
            self._report(f"the registry does not answer, serving goes on: {error}")
        except ServingError as error:
            self._report(f"Triton refuses, it is restarted: {error}")
            if self._triton is not None:
                self._triton.kill()

    def _keep_processes(self) -> None:
        if self._triton is not None and not self._triton.running():
            self._report(f"Triton ended with exit code {self._triton.exit_code}: starting it again")
            self._triton.kill()
            self._start_triton()
            self._wait(self._control.live, "triton")
            self._reconciler.load_all()
            self._report("Triton serves again")
        if self._api is not None and not self._api.running():
            self._report(f"the adapter ended with exit code {self._api.exit_code}: starting again")
            self._start_api()

    def _children(self) -> list[ManagedProcess]:
        return [child for child in (self._api, self._triton) if child is not None]

    def _end_processes(self) -> None:
        """The adapter first, so that nobody asks a Triton that is going."""
        if self._api is not None:
            self._api.stop(_API_PATIENCE_S)
        if self._triton is not None:
            self._triton.stop(_TRITON_PATIENCE_S)


def run_stack(
    settings: Settings,
    environ: Mapping[str, str],
    report: Report,
    ready: Callable[[dict[str, int]], None],
) -> None:
    """Run the stack in the foreground; SIGINT and SIGTERM end it.

    Raises:
        EnginehouseError: if it cannot start.
    """
    stack = Stack(settings, environ, report)
    with _signals(stack.stop):
        stack.run(ready)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """A signal interrupts a long start at once, and only once: the rest is clean-up."""
    interrupted = False

    def handle(signum: int, _frame: object) -> None:
        nonlocal interrupted
        stop()
        if not interrupted:
            interrupted = True
            raise _InterruptedError(signum)

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _InterruptedError:
        pass
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class _InterruptedError(BaseException):
    """Raised by the signal handler; not an Exception, so nothing on the way swallows it."""


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """One stack a home: two would write the same model repository."""
    settings.home.mkdir(parents=True, exist_ok=True)
    path = settings.home / "stack.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(
                f"another stack runs with ENGINEHOUSE_HOME={settings.home}: stop it first, or "
                "set another ENGINEHOUSE_HOME and other ports"
            ) from None
        yield
    finally:
        os.close(descriptor)
