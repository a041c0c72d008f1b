"""Records of many calls in one transaction."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from enginehouse.api.database import Database
from enginehouse.api.ledger.metrics import LedgerMetrics
from enginehouse.api.ledger.records import UsageRecord
from enginehouse.api.ledger.spool import Spool
from enginehouse.api.ledger.tables import insert_once

from enginehouse.errors import StoreError

_log = logging.getLogger(__name__)
_REPLAYED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: UsageRecord
    done: asyncio.Future[None] | None = None


class _Sign(Enum):
    """What else may stand in the queue."""

    LOOK = "look whether the database works again"
    END = "write what is left and end"


class GroupWriter:
    """A thread that writes what has gathered while the last transaction ran.

    A record that the database does not take goes to the spool, and one that the spool does not
    take either goes to the log, number by number.

    Attributes:
        failing: whether the last transaction failed, or lasts too long.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        metrics: LedgerMetrics,
        *,
        retry_s: float,
        batch: int,
    ) -> None:
        """Start it; it begins with what the spool holds from earlier."""
        self.failing = False
        self._database = database
        self._spool = spool
        self._metrics = metrics
        self._retry_s = retry_s
        self._batch = batch
        self._next_try = 0.0
        self._stuck = False
        self._closed = False
        self._spooled = spool.waiting
        self._in_hand: list[_Waiting] = []
        self._queue: queue.SimpleQueue[_Waiting | _Sign] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="usage-ledger", daemon=True)
        self._thread.start()

    def submit(self, record: UsageRecord) -> None:
        """Have a record written; nobody waits for it."""
        if self._closed:
            self._keep([record])
        else:
            self._queue.put(_Waiting(record))

    async def write(self, record: UsageRecord, patience_s: float) -> None:
        """Write a record; when this returns, it outlives this process.

        Args:
            patience_s: then the record goes to the spool, and later ones do so at once, until the
                database answers.

        Raises:
            StoreError: if neither the database nor the spool takes it.
        """
        if not (self._stuck or self._closed):
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.put(_Waiting(record, done))
            if (await asyncio.wait({done}, timeout=patience_s))[0]:
                done.result()
                return
            done.cancel()
            self._stuck = True
            self._set_failing(failing=True)
            self._queue.put(_Sign.LOOK)
            _log.error("the usage ledger: the database has not answered for %.1f s", patience_s)
        # It may stand in the queue too: its id makes sure that it counts once.
        error = await asyncio.to_thread(self._keep, [record])
        if error is not None:
            raise error

    def close(self, patience_s: float) -> None:
        """Write what is left. Blocks; what the database does not take in time is spooled."""
        self._closed = True
        self._queue.put(_Sign.END)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            left = list(self._in_hand)
            with contextlib.suppress(queue.Empty):
                while True:
                    item = self._queue.get_nowait()
                    if isinstance(item, _Waiting):
                        left.append(item)
            self._queue.put(_Sign.END)
            self._finish(left, self._keep([item.record for item in left]))

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._gather()
            if self._due():
                self._recover()
            if self._in_hand:
                self._write(self._in_hand)
                self._in_hand = []

    def _gather(self) -> bool:
        """Take what waits; whether it is the end."""
        retrying = self.failing or self._spooled
        timeout_s = max(0.0, self._next_try - time.monotonic()) if retrying else None
        try:
            item = self._queue.get(timeout=timeout_s)
            while isinstance(item, _Waiting):
                self._in_hand.append(item)
                if len(self._in_hand) >= self._batch:
                    return False
                item = self._queue.get_nowait()
        except queue.Empty:
            return False
        return item is _Sign.END

    def _due(self) -> bool:
        return (self.failing or self._spooled) and time.monotonic() >= self._next_try

    def _write(self, items: list[_Waiting]) -> None:
        records = [item.record for item in items]
        error: StoreError | None = None
        if self.failing:
            error = self._keep(records)
        else:
            try:
                self._insert(records)
            except Exception as failure:  # noqa: BLE001 - the thread serves every later call
                self._failed(failure)
                error = self._keep(records)
        self._finish(items, error)

    def _recover(self) -> None:
        """Replay the spool; the database works again when that has succeeded."""
        # What is spooled from now on is seen by the next look.
        self._spooled = False
        try:
            for path in self._spool.claim():
                records = self._spool.read(path, self._damaged)
                for start in range(0, len(records), _REPLAYED_AT_ONCE):
                    self._insert(records[start : start + _REPLAYED_AT_ONCE])
                path.unlink(missing_ok=True)
            if not self.failing:
                return
            with self._database.begin():
                pass
        except Exception as failure:  # noqa: BLE001 - the thread serves every later call
            self._spooled = True
            self._failed(failure)
        else:
            self._stuck = False
            self._set_failing(failing=False)
            _log.warning("the usage ledger: the database takes records again")

    def _insert(self, records: Sequence[UsageRecord]) -> None:
        with self._database.begin() as connection:
            added = insert_once(connection, records)
        self._metrics.written.inc(added)
        if self._stuck:
            self._stuck = False
            self._next_try = 0.0

    def _failed(self, failure: Exception) -> None:
        self._metrics.failures.inc()
        self._next_try = time.monotonic() + self._retry_s
        self._stuck = False
        if not self.failing:
            # What other exceptions say might repeat a record's values.
            known = isinstance(failure, (StoreError, OSError))
            reason = str(failure) if known else type(failure).__name__
            _log.error("the usage ledger goes to its spool: %s", reason)
        self._set_failing(failing=True)

    def _set_failing(self, *, failing: bool) -> None:
        self.failing = failing
        self._metrics.failing.set(failing)

    def _keep(self, records: Sequence[UsageRecord]) -> StoreError | None:
        """Spool records; what is to be told to those who wait if that fails too."""
        if not records:
            return None
        try:
            self._spool.append(records)
        except OSError as error:
            self._metrics.lost.inc(len(records))
            for record in records:
                # Numbers and ids only: enough to enter it by hand.
                _log.critical("the usage ledger lost a record: %s", record.line().decode().rstrip())
            return StoreError(f"the usage ledger can write nowhere: {error.strerror}")
        self._spooled = True
        self._metrics.spooled.inc(len(records))
        return None

    def _damaged(self, line: bytes) -> None:
        self._metrics.damaged.inc()
        _log.error("the usage ledger's spool has a line of %d bytes that is no record", len(line))
        self._spool.keep_damaged(line)

    def _finish(self, items: Iterable[_Waiting], error: StoreError | None) -> None:
        """Tell those who wait, with one call for each of their loops."""
        waiting = [item.done for item in items if item.done is not None]
        for loop in {done.get_loop() for done in waiting}:
            mine = [done for done in waiting if done.get_loop() is loop]
            # A loop that is closed has nobody who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, mine, error)


def _settle(waiting: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
