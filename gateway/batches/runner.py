"""Runs batches in the background, each on one adapter at a time.

The state of a batch and the answer of each line are stored in the database as they change, so that
another adapter can resume the batch. A line that was running when its adapter died is run again;
its answer is recorded once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore, StoredFile
from enginehouse.gateway.batches.lines import LineCall, LineRunner, RetryingRunner, stopped_within
from enginehouse.gateway.batches.records import caller_from
from enginehouse.gateway.batches.results import request_id, write_results
from enginehouse.gateway.batches.tables import BatchStatus
from enginehouse.gateway.batches.usage import tokens_of
from enginehouse.gateway.batches.validation import LineChecker
from enginehouse.gateway.batches.work import WorkStore
from sqlalchemy import Row

from enginehouse.errors import EnginehouseError, NotFoundError, StoreError

_log = logging.getLogger(__name__)
_LINES_AT_ONCE = 500
_BEATS_A_LEASE = 3


@dataclass(slots=True)
class _Running:
    """A batch that is being run.

    Attributes:
        stop: set when no further line may be started.
        nudge: set when its state should be read again now.
    """

    id: str
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    nudge: asyncio.Event = field(default_factory=asyncio.Event)


class BatchRunner:
    """Runs batches until `run` is cancelled."""

    def __init__(
        self,
        work: WorkStore,
        files: FileStore,
        run_line: LineRunner,
        config: BatchesConfig,
        *,
        now: Callable[[], float] = time.time,
        pause: Callable[[asyncio.Event, float], Awaitable[bool]] = stopped_within,
    ) -> None:
        self._work = work
        self._files = files
        self._config = config
        self._now = now
        slots = asyncio.Semaphore(config.concurrency)
        self._patience = RetryingRunner(run_line, config, slots, pause)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, _Running] = {}
        self._woken = asyncio.Event()

    def wake(self, batch_id: str | None = None) -> None:
        """Look for new batches, or for a new state of this one, before the next poll is due."""
        self._woken.set()
        if batch_id in self._running:
            self._running[batch_id].nudge.set()

    async def run(self) -> None:
        """Take batches and run them, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.take()
            except StoreError as error:
                _log.warning("batches cannot be looked for now: %s", error)
            await stopped_within(self._woken, self._config.poll_s)

    async def take(self) -> list[asyncio.Task[None]]:
        """Start batches that no adapter runs; returns a task for each.

        Raises:
            StoreError: if the database fails.
        """
        room = self._config.batches_at_once - len(self._tasks)
        if room < 1:
            return []
        return [self._begin(batch) for batch in await self._work.claim(room, set(self._tasks))]

    async def close(self) -> None:
        """Release all batches in their current state, so that another runner can take them."""
        left = dict(self._tasks)
        for task in left.values():
            task.cancel()
        await asyncio.gather(*left.values(), return_exceptions=True)
        try:
            await self._work.release(list(left))
        except StoreError:
            _log.exception(
                "batches are not given back; they are free in %s s", self._config.lease_s
            )

    def _begin(self, batch_id: str) -> asyncio.Task[None]:
        running = _Running(batch_id)

        def ended(task: asyncio.Task[None]) -> None:
            del self._tasks[batch_id], self._running[batch_id]
            self._woken.set()
            if not task.cancelled() and task.exception() is not None:
                _log.error("batch %s is interrupted", batch_id, exc_info=task.exception())

        self._running[batch_id] = running
        self._tasks[batch_id] = task = asyncio.create_task(self._run(running))
        task.add_done_callback(ended)
        return task

    async def _run(self, running: _Running) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat(running))
                await self._steps(running)
                heart.cancel()
        except* EnginehouseError as failed:
            # The batch keeps its state and is taken again when its lease ends. The tracebacks of
            # these errors may contain requests and are not logged.
            reasons = "; ".join(str(error) for error in _leaves(failed))
            _log.warning("batch %s is interrupted: %s", running.id, reasons)

    async def _beat(self, running: _Running) -> None:
        """Renew the lease, and notice when the batch is cancelled or its window ends."""
        until = self._now() + self._config.lease_s
        left_s = 0.0
        while True:
            try:
                batch = await self._work.renew(running.id)
                until = self._now() + self._config.lease_s
                left_s = self._seen(running, batch)
            except StoreError:
                if self._now() >= until:
                    raise
            wait_s = self._config.lease_s / _BEATS_A_LEASE
            await stopped_within(running.nudge, min(wait_s, left_s) if left_s > 0 else wait_s)
            running.nudge.clear()

    def _seen(self, running: _Running, batch: Row[Any]) -> float:
        """Stop if the batch is cancelled or its window is over.

        Returns the seconds left of the window.
        """
        left_s: float = batch.expires_at - self._now()
        if batch.status == BatchStatus.CANCELLING or left_s <= 0:
            running.stop.set()
        return left_s

    async def _steps(self, running: _Running) -> None:
        batch = await self._work.batch(running.id)
        self._seen(running, batch)
        if batch.status == BatchStatus.VALIDATING:
            batch = await self._validate(batch)
        if batch.status == BatchStatus.IN_PROGRESS:
            await self._ask_all(batch, running)
        if batch.status == BatchStatus.FAILED:
            return
        batch = await self._work.finalize(running.id)
        end = _end_of(batch)
        results = await asyncio.to_thread(write_results, self._work, self._files, batch, end)
        await self._work.end(batch.id, end, *results)

    async def _validate(self, batch: Row[Any]) -> Row[Any]:
        checker = LineChecker(batch.endpoint, self._config)
        await self._work.clear(batch.id)
        try:
            file = await self._files.get(batch.tenant, batch.input_file_id)
        except NotFoundError as error:
            checker.refuse(None, ("input_file_id", "file_not_found", str(error)))
        else:
            await asyncio.to_thread(self._read, batch.id, file, checker)
        if checker.errors:
            return await self._work.refuse(batch.id, checker.errors)
        return await self._work.begin(batch.id, checker.count, checker.model)

    def _read(self, batch_id: str, file: StoredFile, checker: LineChecker) -> None:
        with self._files.readable(file).open("rb") as source:
            lines = iter(checker.lines(source))
            while some := list(islice(lines, _LINES_AT_ONCE)):
                self._work.add(batch_id, some)

    async def _ask_all(self, batch: Row[Any], running: _Running) -> None:
        async with aclosing(self._pending(batch.id)) as lines, asyncio.TaskGroup() as group:
            # A generator can be advanced by one task at a time only.
            turn = asyncio.Lock()
            for _ in range(self._config.concurrency):
                group.create_task(self._ask_some(batch, lines, turn, running))

    async def _pending(self, batch_id: str) -> AsyncGenerator[Row[Any], None]:
        after = 0
        while rows := await self._work.pending(batch_id, after):
            for row in rows:
                yield row
            after = rows[-1].line

    async def _ask_some(
        self,
        batch: Row[Any],
        lines: AsyncGenerator[Row[Any], None],
        turn: asyncio.Lock,
        running: _Running,
    ) -> None:
        caller = caller_from(batch.caller)
        while not running.stop.is_set():
            async with turn:
                line = await anext(lines, None)
            if line is None:
                return
            body = orjson.loads(line.request)
            name = request_id(batch.id, line.line)
            call = LineCall(batch.endpoint, body, caller, line.custom_id, name)
            answer = await self._patience.answered(call, running.stop)
            if answer is None:
                return
            text = orjson.dumps(answer.body).decode()
            usage = tokens_of(answer.body)
            self._seen(
                running,
                await self._work.record(batch.id, line.line, answer.status, text, usage),
            )


def _leaves(group: BaseExceptionGroup[EnginehouseError]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _end_of(batch: Row[Any]) -> BatchStatus:
    if batch.status == BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    whole = batch.completed + batch.failed == batch.total
    return BatchStatus.COMPLETED if whole else BatchStatus.EXPIRED
