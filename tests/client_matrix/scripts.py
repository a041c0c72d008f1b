"""Runs a client's script with all that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Said:
    """What a script said until it ended or was ended."""

    output: str
    status: str


def run_script(
    command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path, timeout_s: float
) -> Said:
    """Run it in a session of its own; nothing that it started is left afterwards."""
    output = log.with_suffix(".out")
    with log.open("wb") as errors, output.open("wb") as lines:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=lines, stderr=errors, start_new_session=True
        )
        try:
            status = f"exit status {process.wait(timeout_s)}"
        except subprocess.TimeoutExpired:
            status = f"did not end within {timeout_s:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Said(output.read_text("utf-8", errors="replace"), status)
