"""Group commit: one transaction for the records of many calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.metrics import LedgerMetrics
from enginehouse.gateway.ledger.records import UsageRecord
from enginehouse.gateway.ledger.spool import Spool, SpoolFile
from enginehouse.gateway.ledger.tables import insert_once
from sqlalchemy import Connection

from enginehouse.errors import StoreError
from enginehouse.supervision import start_thread

_log = logging.getLogger(__name__)
#: How long records are collected for one transaction if no call waits for it, in seconds.
_GATHER_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Errand:
    """Work that the thread does immediately.

    Attributes:
        done: set when the database has the record and everything spooled before it.
        record: a record that is not in the spool; None if only the spool is to be written.
    """

    done: asyncio.Future[None] | None = None
    record: UsageRecord | None = None


class GroupWriter:
    """Appends records to the spool, and moves them to the database in a thread.

    Spooled records survive a crash of the process. A record that cannot be spooled is written
    directly
    to the database; if that fails too, it is written to the log.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        metrics: LedgerMetrics,
        *,
        retry_s: float,
        patience_s: float,
        batch: int,
    ) -> None:
        """Start the thread; it first replays files that dead processes have left in the spool.

        Args:
            patience_s: time after which an unfinished transaction counts as failed, in seconds.
        """
        self._database = database
        self._spool = spool
        self._metrics = metrics
        self._retry_s = retry_s
        self._patience_s = patience_s
        self._batch = batch
        self._failed_at: float | None = None
        self._began: float | None = None
        self._files: list[SpoolFile] = []
        self._changed = threading.Condition()
        self._kept = self._ending = self._gathering = False
        self._errands: list[_Errand] = []
        metrics.failing.set_function(lambda: self.failing)
        self._thread = start_thread("usage-ledger", self._run)

    @property
    def failing(self) -> bool:
        """Whether the last transaction failed, or the current one takes too long."""
        began = self._began
        too_long = began is not None and time.monotonic() - began > self._patience_s
        return too_long or self._failed_at is not None

    def keep(self, record: UsageRecord) -> bool:
        """Spool a record; on return it survives a crash of the process.

        Always call it on the same event loop.

        Returns:
            Whether it was spooled.
        """
        try:
            # This writes to the page cache only; handing it to a thread would cost more.
            self._spool.append([record])
        except OSError as error:
            _log.error("the usage ledger's spool cannot be written: %s", error.strerror)
            return False
        self._metrics.spooled.inc()
        if not self._gathering:
            # The loop wakes the thread later: a thread that runs now would delay the answer.
            self._gathering = True
            asyncio.get_running_loop().call_later(_GATHER_S, self._gathered)
        return True

    def _gathered(self) -> None:
        self._gathering = False
        with self._changed:
            self._kept = True
            self._changed.notify()

    def hand_over(self, record: UsageRecord) -> None:
        """Write a record that could not be spooled, without waiting for it."""
        self._ask(_Errand(record=record))

    async def written(self, record: UsageRecord | None = None) -> None:
        """Wait until the database has everything kept so far, for at most `patience_s`.

        Args:
            record: a record that could not be spooled, to be written as well.

        Raises:
            StoreError: if `record` could not be written.
        """
        done = asyncio.get_running_loop().create_future()
        errand = _Errand(done, record)
        if not self.failing:
            self._ask(errand)
            if (await asyncio.wait({done}, timeout=self._patience_s))[0]:
                done.result()
                return
        done.cancel()
        with self._changed, contextlib.suppress(ValueError):
            self._errands.remove(errand)
        if record is not None:
            # The thread may still write it; entering it by hand as well has no effect.
            raise self._lost([record])

    def close(self) -> None:
        """Write all remaining records. Blocks.

        What the database does not take in time stays spooled.
        """
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(self._patience_s)

    def _ask(self, errand: _Errand) -> None:
        with self._changed:
            self._errands.append(errand)
            self._changed.notify()

    def _run(self) -> None:
        self._adopt()
        while self._wait():
            self._turn()
        self._turn()
        for file in self._files:
            file.close()
        self._spool.close()

    def _wait(self) -> bool:
        """Wait until there is something to write; returns False when the writer is being closed."""
        with self._changed:
            if self._failed_at is None:
                self._changed.wait_for(lambda: self._cannot_wait() or self._kept)
            else:
                left = self._failed_at + self._retry_s - time.monotonic()
                self._changed.wait_for(self._cannot_wait, max(0.0, left))
            return not self._ending

    def _cannot_wait(self) -> bool:
        return self._ending or bool(self._errands)

    def _turn(self) -> None:
        """Move all spooled records to the database."""
        with self._changed:
            errands, self._errands = self._errands, []
            self._kept = False
        records = [errand.record for errand in errands if errand.record is not None]
        failed_at = self._failed_at
        if failed_at is not None and time.monotonic() < failed_at + self._retry_s:
            self._give_up(errands)
            return
        try:
            self._move(records, recovering=failed_at is not None)
        except Exception as failure:  # noqa: BLE001 - the thread serves every later call
            self._failed(failure)
            self._give_up(errands)
            return
        if failed_at is not None:
            self._failed_at = None
            _log.warning("the usage ledger: the database takes records again")
        _settle(errands)

    def _give_up(self, errands: Sequence[_Errand]) -> None:
        """Release the waiting calls; spooled records are kept."""
        _settle(errand for errand in errands if errand.record is None)
        # A caller that stopped waiting has already counted the loss.
        left = [errand for errand in errands if errand.done is None or not errand.done.cancelled()]
        if records := [errand.record for errand in left if errand.record is not None]:
            _settle(left, self._lost(records))

    def _move(self, records: Sequence[UsageRecord], *, recovering: bool) -> None:
        """Insert records and the spool's content, and delete the inserted spool files."""
        if recovering:
            with self._transaction():
                pass
            self._adopt()
        self._insert(records)
        self._drain()
        # The spool is taken after the waiting calls were listed, so that it contains their records.
        taken = self._spool.take()
        if taken is not None:
            self._files.append(taken)
            self._drain()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction whose duration is watched."""
        self._began = time.monotonic()
        try:
            with self._database.begin() as connection:
                yield connection
        finally:
            self._began = None

    def _drain(self) -> None:
        while self._files:
            self._insert(self._files[0].records(self._damaged))
            self._files.pop(0).remove()

    def _insert(self, records: Sequence[UsageRecord]) -> None:
        for start in range(0, len(records), self._batch):
            with self._transaction() as connection:
                added = insert_once(connection, records[start : start + self._batch])
            self._metrics.written.inc(added)

    def _adopt(self) -> None:
        """Replay files that dead processes have left."""
        try:
            self._files += self._spool.left_by_others()
        except OSError as error:
            _log.error("the usage ledger's spool cannot be read: %s", error.strerror)
        self._kept = self._kept or bool(self._files)

    def _failed(self, failure: Exception) -> None:
        self._metrics.failures.inc()
        if self._failed_at is None:
            # The text of other exceptions might contain values of a record.
            known = isinstance(failure, (StoreError, OSError))
            reason = str(failure) if known else type(failure).__name__
            _log.error("the usage ledger stays in its spool: %s", reason)
        self._failed_at = time.monotonic()

    def _lost(self, records: Sequence[UsageRecord]) -> StoreError:
        """Count lost records and write them to the log."""
        self._metrics.lost.inc(len(records))
        for record in records:
            # The record contains only numbers and ids, which is enough to enter it by hand.
            _log.critical("the usage ledger lost a record: %s", record.line().decode().rstrip())
        return StoreError("the usage ledger can write nowhere: neither its spool nor its database")

    def _damaged(self, line: bytes) -> None:
        self._metrics.damaged.inc()
        _log.error(
            "the usage ledger's spool has a line of %d bytes that is not a record", len(line)
        )
        self._spool.keep_damaged(line)


def _settle(errands: Iterable[_Errand], error: StoreError | None = None) -> None:
    """Notify the waiting calls, with one callback for each event loop."""
    waiting = [errand.done for errand in errands if errand.done is not None]
    for loop in {done.get_loop() for done in waiting}:
        mine = [done for done in waiting if done.get_loop() is loop]
        # Nothing waits on a closed loop.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set, mine, error)


def _set(waiting: Sequence[asyncio.Future[None]], error: StoreError | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
