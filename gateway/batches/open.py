"""Files and batches, opened together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore
from enginehouse.gateway.batches.lines import LineRunner
from enginehouse.gateway.batches.records import BatchStore
from enginehouse.gateway.batches.runner import BatchRunner
from enginehouse.gateway.batches.work import WorkStore
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.database.sweeper import sweeping

from enginehouse.supervision import start_loop


@dataclass(frozen=True, slots=True)
class BatchServices:
    """What the routes use.

    Attributes:
        runner: wakes up when there is something new; None where another adapter runs batches.
    """

    files: FileStore
    store: BatchStore
    runner: BatchRunner | None
    config: BatchesConfig

    def wake(self, batch_id: str | None = None) -> None:
        """Have the runner of this adapter look at once."""
        if self.runner is not None:
            self.runner.wake(batch_id)


@asynccontextmanager
async def open_batches(
    database: Database, directory: Path, config: BatchesConfig, run_line: LineRunner
) -> AsyncIterator[BatchServices]:
    """Files and batches; batches run as long as this is open.

    Args:
        directory: of the files' content.
        run_line: asks the endpoints, see `InProcessRunner`.
    """
    files = FileStore(database, directory, config)
    store = BatchStore(database, files, config)
    runner: BatchRunner | None = None
    if config.run:
        work = WorkStore(database, files, config)
        runner = BatchRunner(work, files, run_line, config)
    async with sweeping(config.sweep_every_s, files.sweep, store.sweep):
        task = None if runner is None else start_loop("batches", runner.run)
        try:
            yield BatchServices(files, store, runner, config)
        finally:
            if runner is not None and task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await runner.close()
