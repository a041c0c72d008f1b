"""Runs a client's script with all that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Process groups of the scripts that run now.
_running: set[int] = set()
_ending = threading.Event()


@dataclass(frozen=True, slots=True)
class Said:
    """What a script said until it ended or was ended."""

    output: str
    status: str


def run_script(
    command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path, timeout_s: float
) -> Said:
    """Run it in a session of its own; nothing that it started is left afterwards.

    Raises:
        CancelledError: if `end_all` ended it.
    """
    output = log.with_suffix(".out")
    with log.open("wb") as errors, output.open("wb") as lines:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=lines, stderr=errors, start_new_session=True
        )
        _running.add(process.pid)
        try:
            status = f"exit status {process.wait(timeout_s)}"
        except subprocess.TimeoutExpired:
            status = f"did not end within {timeout_s:.0f} s"
        finally:
            _kill(process.pid)
            process.wait()
            _running.discard(process.pid)
    if _ending.is_set():
        raise CancelledError
    return Said(output.read_text("utf-8", errors="replace"), status)


def end_all() -> None:
    """End the scripts that run now; nothing is said of them."""
    _ending.set()
    for group in tuple(_running):
        _kill(group)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
