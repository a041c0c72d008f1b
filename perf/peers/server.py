"""Runs a peer's server; it can be suspended while others are measured."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
from enginehouse.perf.peers.load import PeerAnswer, ask
from enginehouse.perf.peers.peer import Dialect, Launch
from enginehouse.stack.process import ManagedProcess

from enginehouse.errors import ServingError, StackError
from enginehouse.tls import tls_context

_T = TypeVar("_T")
_START_TIMEOUT_S = 600.0
_POLL_S = 0.1
_STOP_PATIENCE_S = 15.0
_CHAT = "/v1/chat/completions"
_ONE_WORD = [{"role": "user", "content": "Say one word."}]


class PeerServer:
    """One running server with all its processes."""

    def __init__(self, name: str, launch: Launch, dialect: Dialect, port: int, log: Path) -> None:
        """Start the server and wait until it has answered one request.

        Raises:
            StackError: if it ends, or does not answer within ten minutes.
        """
        self._dialect = dialect
        self._url = f"http://127.0.0.1:{port}"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        began = time.monotonic()
        self._child = ManagedProcess(name, launch.argv, clean_environment() | dict(launch.env), log)
        try:
            self._wait_ready(launch.ready_path)
            self.ask([_ONE_WORD], 1)
        except (ServingError, StackError) as error:
            self.close()
            raise StackError(f"its server did not start: {error} ({log})") from error
        #: Seconds from the start of the process to its first answer.
        self.start_s = time.monotonic() - began

    def ask(
        self, conversations: list[list[dict[str, str]]], new_tokens: int
    ) -> tuple[float, list[PeerAnswer]]:
        """Send all conversations at once; return seconds and answers.

        Raises:
            ServingError: if one fails, or has not the requested number of tokens.
        """
        bodies = [self._dialect.body(messages, new_tokens) for messages in conversations]
        try:
            seconds, answers = ask(self._url + _CHAT, bodies)
        except OSError as error:
            raise ServingError(f"{self._child.name} does not answer: {error}") from error
        for answer in answers:
            if answer.trace.tokens != new_tokens:
                raise ServingError(
                    f"{self._child.name} generated {answer.trace.tokens} tokens, not {new_tokens}"
                )
        return seconds, answers

    def cpu_s(self) -> float:
        """CPU seconds of all its running processes since their start."""
        return sum(self._each(_cpu_s))

    def rss_bytes(self) -> int:
        """Resident memory of all its processes; shared memory counts for each of them."""
        return sum(self._each(lambda process: int(process.memory_info().rss)))

    def hold(self) -> None:
        """Suspend its processes, so that they use no CPU while others are measured."""
        self._each(psutil.Process.suspend)

    def resume(self) -> None:
        """Resume its processes."""
        self._each(psutil.Process.resume)

    def close(self) -> None:
        """End all its processes."""
        family = self._family()
        self.resume()
        self._child.stop(_STOP_PATIENCE_S)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _family(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self._child.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _each(self, action: Callable[[psutil.Process], _T]) -> list[_T]:
        results = []
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                results.append(action(process))
        return results

    def _wait_ready(self, path: str) -> None:
        until = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < until:
            if not self._child.running():
                raise StackError(f"it ended: {last_line(self._child.log_tail(40))}")
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.get(
                    self._url + path,
                    timeout=30.0,
                    trust_env=False,
                    verify=tls_context(self._url),
                )
                if answer.is_success:
                    return
            time.sleep(_POLL_S)
        raise StackError(f"it was not ready after {_START_TIMEOUT_S:.0f} s")


def clean_environment() -> dict[str, str]:
    """This process's environment without Enginehouse's settings, so that defaults apply."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")}


def last_line(log: str) -> str:
    """The last line of a log that is not empty."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
