"""Removing from time to time what is past its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from enginehouse.errors import EnginehouseError

_log = logging.getLogger(__name__)


@asynccontextmanager
async def sweeping(every_s: float, *sweeps: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Have every sweep run each so many seconds, as long as the block lasts."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(every_s)
            for sweep in sweeps:
                try:
                    await sweep()
                except EnginehouseError as error:
                    # The next one finds what this one left.
                    _log.warning("what is past its time was not removed: %s", error)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
