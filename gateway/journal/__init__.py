"""Files of JSON lines that other processes read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening
from enginehouse.gateway.journal.dropped import shared_dropped
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.journal.line_buffer import LineBuffer


def journal_of(opening: Opening) -> Journal:
    """The adapter's journal."""
    return opening.services.made(Journal, lambda: Journal(opening.settings.journal_dir))


async def shared_lines(opening: Opening) -> LineBuffer:
    """The lines that no request waits for; what is queued at the end is written."""
    dropped = shared_dropped(opening)

    @asynccontextmanager
    async def opened() -> AsyncIterator[LineBuffer]:
        lines = LineBuffer(journal_of(opening), on_drop=dropped.of("line").inc)
        try:
            yield lines
        finally:
            await lines.close()

    return await opening.services.shared(LineBuffer, opened)
