"""Writes lines of the journal in the background."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from enginehouse.gateway.journal.journal import Journal

from enginehouse.supervision import start_loop

_log = logging.getLogger(__name__)
_MOST = 10_000


class LineBuffer:
    """Collects lines while a write is running, so that the next write contains many.

    If the disk is full or slow, lines are dropped and counted; requests are not affected.
    """

    def __init__(
        self, journal: Journal, *, on_drop: Callable[[int], None] = lambda _: None
    ) -> None:
        self._journal = journal
        self._on_drop = on_drop
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    def add(self, kind: str, line: str) -> None:
        """Queue a line for ``<kind>.jsonl``; call it on the event loop."""
        if len(self._lines[kind]) >= _MOST:
            self._on_drop(1)
            return
        self._lines[kind].append(line)
        if self._task is None or self._task.done():
            self._task = start_loop("journal", self._write)

    async def close(self) -> None:
        """Write the remaining lines."""
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._lines:
            kind, lines = self._lines.popitem()
            try:
                await self._journal.append(kind, "\n".join(lines))
            except OSError:
                self._on_drop(len(lines))
                _log.exception("%d lines of the journal %s are lost", len(lines), kind)
