"""`enginehouse up`: runs the whole stack on one machine until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any

import httpx
from enginehouse.client.controller import ControllerClient
from enginehouse.stack.marks import FAILURE, PROGRESS
from enginehouse.stack.ports import check_ports, check_replica_ports
from enginehouse.stack.process import LogTail, ManagedProcess
from enginehouse.stack.stuck_loads import StuckLoads, repository_index, serves_alone
from enginehouse.stack.triton_server import start_triton, stub_pids

from enginehouse.admin_token import ensure_admin_token
from enginehouse.errors import ControllerError, StackError
from enginehouse.settings import Settings
from enginehouse.tls import tls_context
from enginehouse.triton_control import triton_control_secret

_START_TIMEOUT_S = 300.0
_TICK_S = 0.5
_LOOK_EVERY_S = 2.0
_TRITON_PATIENCE_S = 6.0
_PATIENCE_S = 3.0
_PREPARE_TICK_S = 0.05

Report = Callable[[str], None]


class Stack:
    """Supervises the Tritons, the release controller and the adapter; restarts those that end.

    The controller decides what they serve; this class only manages processes.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], report: Report) -> None:
        self._settings = settings
        self._environ = dict(environ)
        self._report = report
        self._stopping = Event()
        self._tritons: dict[int, ManagedProcess] = {}
        self._api: ManagedProcess | None = None
        self._controller: ManagedProcess | None = None
        self._controller_log: LogTail | None = None
        self._preparation: ManagedProcess | None = None
        self._stuck = StuckLoads(settings.model_repository_dir)
        self._looked_at = 0.0
        self._token = ""

    def stop(self) -> None:
        """Ask `run` to return; safe in a signal handler."""
        self._stopping.set()

    def run(self, ready: Callable[[dict[str, int]], None]) -> None:
        """Start all processes, call `ready` with the served models, and supervise until `stop`.

        Raises:
            EnginehouseError: if something cannot start; all processes have then been stopped.
        """
        with ExitStack() as cleanup:
            cleanup.callback(self._end_processes)
            cleanup.callback(self._report, "stopping")
            cleanup.enter_context(_exclusive(self._settings))
            self._check_ports()
            self._start()
            if not self._stopping.is_set():
                ready({m["model"]: m["champion"] for m in _with_champion(self._overview())})
            while not self._stopping.wait(_TICK_S):
                self._keep_processes()

    def _check_ports(self) -> None:
        check_ports(self._settings.addresses)
        for index in range(1, self._settings.replicas):
            check_replica_ports(self._settings.addresses.replica(index), index)

    def _start(self) -> None:
        self._token = ensure_admin_token(self._settings)
        if self._settings.registry_exists:
            self._start_controller()
        # Tritons start while MLflow is imported, so that engines can load undisturbed later.
        for index in range(self._settings.replicas):
            self._start_triton(index)
        self._start_api()
        if self._controller is None:
            # The registry has to exist before the controller opens it.
            self._prepare()
            if not self._stopping.is_set():
                self._start_controller()
        self._wait(self._ready, "the stack")

    def _prepare(self) -> None:
        """Run `enginehouse.stack.prepare`, which ensures a champion.

        Raises:
            StackError: with its error message.
        """
        child = self._preparation = self._start_python("prepare", "enginehouse.stack.prepare")
        log = child.tail()
        failure = []
        while child.running() and not self._stopping.wait(_PREPARE_TICK_S):
            failure += self._relay_preparation(log)
        failure += self._relay_preparation(log)
        if child.running() or child.exit_code == 0:
            return
        raise StackError("\n".join(failure) or f"the preparation failed: {child.log_tail()}")

    def _relay_preparation(self, log: LogTail) -> list[str]:
        """Report the progress of the preparation; returns its error lines."""
        lines = log.lines()
        for line in lines:
            if line.startswith(PROGRESS):
                self._report(line.removeprefix(PROGRESS))
        return [line.removeprefix(FAILURE) for line in lines if line.startswith(FAILURE)]

    def _start_triton(self, index: int) -> None:
        name = _triton_name(index)
        self._report(f"starting {name}")
        addresses = self._settings.addresses.replica(index)
        self._tritons[index] = start_triton(self._settings, addresses, name, self._environ)

    def _start_api(self) -> None:
        self._api = self._start_python("api", "enginehouse.api")

    def _start_controller(self) -> None:
        self._controller = self._start_python("controller", "enginehouse", "controller")
        self._controller_log = self._controller.tail()

    def _start_python(self, name: str, *module: str) -> ManagedProcess:
        argv = [sys.executable, "-m", *module]
        env = {**self._environ, "ENGINEHOUSE_HOME": str(self._settings.home)}
        if self._settings.compat_model is not None:
            env["ENGINEHOUSE_COMPAT_NAMES"] = self._settings.compat_model
        env["ENGINEHOUSE_COMPAT_DECOUPLED"] = str(self._settings.compat_decoupled).lower()
        env["ENGINEHOUSE_REPLICAS"] = str(self._settings.replicas)
        return ManagedProcess(name, argv, env, self._settings.logs_dir / f"{name}.log")

    def _overview(self) -> dict[str, Any]:
        """The controller's overview; empty while it starts."""
        url = self._settings.addresses.controller_url
        with ControllerClient(url, self._token) as client:
            try:
                return client.overview()
            except ControllerError:
                return {"models": [], "read": False, "problem": None}

    def _ready(self) -> bool:
        """Whether every champion is loaded and ready through the adapter.

        Raises:
            StackError: if there is no registry or no champion, or a champion cannot be loaded and
                no version of its model serves.
        """
        self._relay()
        seen = self._overview()
        if seen["problem"] is not None:
            raise StackError(seen["problem"])
        models = _with_champion(seen)
        if not models and seen["read"] and self._preparation is None:
            self._prepare()
        for model in models:
            if model["problem"]:
                raise StackError(f"{model['model']}: {model['problem']}")
        if not models or any(model["champion"] not in model["ready"] for model in models):
            return False
        url = f"{self._settings.addresses.api_url}/health/ready"
        try:
            answer = httpx.get(url, timeout=10.0, trust_env=False, verify=tls_context(url))
        except httpx.HTTPError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        return {model["model"] for model in models} <= set(answer.json()["models"])

    def _relay(self) -> None:
        """Report new lines of the controller's log."""
        if self._controller_log is not None:
            for line in self._controller_log.lines():
                self._report(line)

    def _wait(self, condition: Callable[[], bool], name: str) -> None:
        """Poll until `condition` holds, a child ends, or `stop` is called."""
        until = time.monotonic() + _START_TIMEOUT_S
        while not self._stopping.is_set() and not condition():
            for child in self._children():
                if not child.running():
                    raise StackError(
                        f"{child.name} ended with exit code {child.exit_code}; the end of "
                        f"{child.log}:\n{child.log_tail()}"
                    )
            self._mend_stuck_loads()
            if time.monotonic() > until:
                raise StackError(
                    f"{name} was not ready after {_START_TIMEOUT_S:.0f} s; see "
                    f"{self._settings.logs_dir}"
                )
            self._stopping.wait(0.05)

    def _keep_processes(self) -> None:
        self._relay()
        for index, triton in list(self._tritons.items()):
            if not triton.running():
                self._report(f"{triton.name} ended with exit code {triton.exit_code}: again")
                triton.kill()
                self._start_triton(index)
        self._mend_stuck_loads()
        if self._api is not None and not self._api.running():
            self._report(f"the adapter ended with exit code {self._api.exit_code}: starting again")
            self._start_api()
        if self._controller is not None and not self._controller.running():
            code = self._controller.exit_code
            self._report(f"the controller ended with exit code {code}: starting again")
            self._start_controller()

    def _mend_stuck_loads(self) -> None:
        """Restart a Triton with a hanging load, unless it is the only one serving something."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        urls = {
            index: self._settings.addresses.replica(index).triton_http_url
            for index in self._tritons
        }
        control = triton_control_secret(self._token)
        seen = {_triton_name(index): repository_index(url, control) for index, url in urls.items()}
        indexes = {name: found for name, found in seen.items() if found is not None}
        for index, triton in list(self._tritons.items()):
            held = indexes.get(triton.name, [])
            hanging = self._stuck.look(triton.name, held, stub_pids(triton.pid), now)
            if not hanging:
                continue
            self._stuck.forget(triton.name)
            what = f"{triton.name}: {', '.join(hanging)} hangs in loading, its process is gone"
            if serves_alone(triton.name, indexes):
                self._report(
                    f"{what}; it is not restarted, because no other replica serves what it holds"
                )
                continue
            self._report(f"{what}: starting it again")
            triton.kill()
            self._start_triton(index)

    def _children(self) -> list[ManagedProcess]:
        found = [self._api, self._controller, *self._tritons.values()]
        return [child for child in found if child is not None]

    def _end_processes(self) -> None:
        """Stop the adapter first, so that it sends nothing to stopping Tritons; then the rest."""
        for child in (self._preparation, self._api, self._controller):
            if child is not None:
                child.stop(_PATIENCE_S)
        for triton in self._tritons.values():
            triton.terminate()
        for triton in self._tritons.values():
            triton.stop(_TRITON_PATIENCE_S)


def _with_champion(overview: dict[str, Any]) -> list[dict[str, Any]]:
    return [model for model in overview["models"] if model["champion"] is not None]


def _triton_name(index: int) -> str:
    return "triton" if index == 0 else f"triton-{index}"


def run_stack(
    settings: Settings,
    environ: Mapping[str, str],
    report: Report,
    ready: Callable[[dict[str, int]], None],
) -> None:
    """Run the stack in the foreground until SIGINT or SIGTERM.

    Raises:
        EnginehouseError: if it cannot start.
    """
    stack = Stack(settings, environ, report)
    with _signals(stack.stop):
        stack.run(ready)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first signal interrupt a long start immediately; later ones are ignored."""
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
    """Raised by the signal handler; not an Exception, so that no handler catches it."""


@contextmanager
def _exclusive(settings: Settings) -> Iterator[None]:
    """Permit one stack for each home: two would write the same model repository."""
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
