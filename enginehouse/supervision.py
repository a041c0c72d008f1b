"""Background loops that outlive their errors: logged, counted, restarted, visible in health.

A loop that runs beside the requests has nobody who awaits it, so an error that its author did not
expect would end it in silence. Started with `start_loop` or `start_thread`, such an error

1. is logged with its traceback,
2. is counted by the loop's name (`failures`; ``enginehouse_background_failures_total{task}``),
3. restarts the loop after a pause that grows from 0.5 s to 30 s,
4. shows in `failing` until the loop has run for a minute without another one.

A loop that has been failing for five minutes is `stuck`: then a liveness probe fails, so that the
process is restarted. A loop must leave its object usable when it raises: it is called again.

One `Supervisor` serves a whole process, since every loop of it belongs to the same health.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from enginehouse.retry import RetryPolicy

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)
_RESTARTS = RetryPolicy(attempts=None, base_s=0.5, most_s=30.0, jitter=False)
#: A loop that ran this long without an error has recovered, in seconds.
_STEADY_S = 60.0
#: A loop that did not recover in this time is stuck, in seconds.
_STUCK_S = 300.0


@dataclass(slots=True)
class _Trouble:
    """Why a loop is failing."""

    since: float
    last: float
    in_a_row: int
    error: str


class Supervisor:
    """Counts and remembers the errors of loops, by the loop's name."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds that only grow."""
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._troubles: dict[str, _Trouble] = {}

    def failures(self) -> dict[str, int]:
        """Errors so far by name, of every loop that was ever started."""
        with self._lock:
            return dict(self._failures)

    def failing(self) -> dict[str, str]:
        """The class of the last error of each loop that has not recovered, by name.

        What an error says may name hosts and files: it stands in the log.
        """
        now = self._clock()
        with self._lock:
            return {n: t.error for n, t in self._troubles.items() if now - t.last < _recovery_s(t)}

    def stuck(self) -> dict[str, str]:
        """Those of `failing` that have been failing for five minutes."""
        now = self._clock()
        failing = self.failing()
        with self._lock:
            return {
                name: error
                for name, error in failing.items()
                if name in self._troubles and now - self._troubles[name].since >= _STUCK_S
            }

    def liveness(self) -> tuple[dict[str, object], int]:
        """Body and HTTP status of a liveness probe: 503 once a loop is stuck."""
        stuck, failing = self.stuck(), self.failing()
        body: dict[str, object] = {"status": "stuck" if stuck else "live"}
        if failing:
            body["failing"] = failing
        return body, 503 if stuck else 200

    def started(self, name: str) -> None:
        """A loop of this name exists: it is counted from zero."""
        with self._lock:
            self._failures.setdefault(name, 0)

    def ended(self, name: str) -> None:
        """A loop of this name was stopped on purpose: it is not failing any more."""
        with self._lock:
            self._troubles.pop(name, None)

    def failed(self, name: str, error: BaseException) -> float:
        """Log and count an error of a loop; seconds to wait before it is started again."""
        _log.error("the background task %s failed; it is started again", name, exc_info=error)
        now = self._clock()
        with self._lock:
            self._failures[name] = self._failures.get(name, 0) + 1
            trouble = self._troubles.get(name)
            if trouble is None or now - trouble.last >= _recovery_s(trouble):
                trouble = self._troubles[name] = _Trouble(now, now, 0, "")
            trouble.last = now
            trouble.in_a_row += 1
            trouble.error = type(error).__name__
            return _pause_s(trouble)


def _pause_s(trouble: _Trouble) -> float:
    return _RESTARTS.longest_s(trouble.in_a_row)


def _recovery_s(trouble: _Trouble) -> float:
    return _STEADY_S + _pause_s(trouble)


#: Of this process.
SUPERVISOR = Supervisor()


def start_loop(
    name: str, loop: Callable[[], Awaitable[None]], supervisor: Supervisor = SUPERVISOR
) -> asyncio.Task[None]:
    """Run a loop in a task of the running event loop until it returns or is cancelled.

    Args:
        name: for the log, the metric and health; a few names in all.
        loop: called again after each error.
    """
    return asyncio.create_task(_supervised(name, loop, supervisor), name=name)


async def _supervised(
    name: str, loop: Callable[[], Awaitable[None]], supervisor: Supervisor
) -> None:
    supervisor.started(name)
    try:
        while True:
            try:
                await loop()
            except Exception as error:  # noqa: BLE001 - any error of any loop, by design
                pause_s = supervisor.failed(name, error)
            else:
                return
            await asyncio.sleep(pause_s)
    finally:
        supervisor.ended(name)


def start_job(
    name: str, job: Coroutine[Any, Any, _Result], supervisor: Supervisor = SUPERVISOR
) -> asyncio.Task[_Result]:
    """Run something once in a task that nobody has to await: its error is logged and counted."""
    supervisor.started(name)
    task = asyncio.create_task(job, name=name)

    def note(done: asyncio.Task[_Result]) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            supervisor.failed(name, error)

    task.add_done_callback(note)
    return task


class SupervisedThread(threading.Thread):
    """A daemon thread that calls its loop again after each error.

    `join` is called once the loop has been told to end: it cuts a pause short, and the loop is then
    called a last time, so that it can write what is left.
    """

    def __init__(
        self,
        name: str,
        loop: Callable[[], None],
        *,
        task: str | None = None,
        supervisor: Supervisor = SUPERVISOR,
    ) -> None:
        """`name` is the thread's; `task` is the loop's, if many threads run the same loop."""
        super().__init__(name=name, daemon=True)
        self._loop = loop
        self._task_name = task or name
        self._supervisor = supervisor
        self._leaving = threading.Event()

    def run(self) -> None:
        """Call the loop until it returns."""
        self._supervisor.started(self._task_name)
        last = False
        while not self._ended() and not last:
            last = self._leaving.is_set()
        self._supervisor.ended(self._task_name)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the loop to return; it is not started again."""
        self._leaving.set()
        super().join(timeout)

    def _ended(self) -> bool:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001 - any error of any loop, by design
            self._leaving.wait(self._supervisor.failed(self._task_name, error))
            return False
        return True


def start_thread(
    name: str, loop: Callable[[], None], *, task: str | None = None
) -> SupervisedThread:
    """Start a `SupervisedThread`."""
    thread = SupervisedThread(name, loop, task=task)
    thread.start()
    return thread
