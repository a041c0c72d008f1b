"""Regular removal of expired rows and files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from enginehouse.errors import EnginehouseError
from enginehouse.supervision import start_loop

_log = logging.getLogger(__name__)


@asynccontextmanager
async def sweeping(every_s: float, *sweeps: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run each sweep every `every_s` seconds until the block ends."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(every_s)
            for sweep in sweeps:
                try:
                    await sweep()
                except EnginehouseError as error:
                    # The next sweep removes what this one left.
                    _log.warning("expired rows or files were not removed: %s", error)

    task = start_loop("sweeper", forever)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
