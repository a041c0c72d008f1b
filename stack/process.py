"""A child process with a log file that ends together with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Linux: the kernel kills the child when the parent ends, even by SIGKILL (`prctl(2)`)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ManagedProcess:
    """A child process in its own session.

    The terminal's Ctrl-C reaches only the parent, which ends its children in order. `stop` ends
    the whole process group, including grandchildren.
    """

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        """Start the process; its output is appended to `log`."""
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._log_began_at = output.tell()
            self._process = subprocess.Popen(
                argv,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The hook only calls prctl, which is safe between fork and exec.
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """Process id; also the id of its group."""
        return self._process.pid

    def tail(self) -> LogTail:
        """The log lines since the process was started."""
        return LogTail(self.log, self._log_began_at)

    def running(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def terminate(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def stop(self, patience_s: float) -> None:
        """Ask the process to end; kill its group after `patience_s` seconds."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """Kill the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class LogTail:
    """Lines appended to a log after a given position in bytes."""

    def __init__(self, path: Path, place: int) -> None:
        self._file = path.open("rb")
        self._file.seek(place)
        self._rest = b""

    def lines(self) -> list[str]:
        """Complete lines since the last call."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
