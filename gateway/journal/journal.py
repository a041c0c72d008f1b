"""Append-only files of JSON lines, one file for each kind."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path


class Journal:
    """Appends to files with access for their owner only, since they may contain texts of users."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    async def append(self, kind: str, line: str) -> None:
        """Append a line to ``<kind>.jsonl``; on return it was handed to the operating system.

        Raises:
            OSError: if it cannot be written.
        """
        await asyncio.to_thread(self._append, self._directory / f"{kind}.jsonl", line)

    def _append(self, path: Path, line: str) -> None:
        with self._lock:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
            descriptor = os.open(path, flags, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(f"{line}\n")
