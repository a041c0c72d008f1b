"""Records of many calls in one transaction."""

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

_log = logging.getLogger(__name__)
#: How long records gather for one transaction where nobody waits for it.
_GATHER_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class _Errand:
    """Something for the thread to do at once.

    Attributes:
        done: set when the database has it, and all that was in the spool before.
        record: stands nowhere but here; None if the spool is all that is meant.
    """

    done: asyncio.Future[None] | None = None
    record: UsageRecord | None = None


class GroupWriter:
    """Puts records into the spool, and has a thread that moves them to the database.

    A record in the spool outlives this process. One that the spool does not take goes straight to
    the database; one that neither takes goes to the log, number by number.
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
        """Start it; it begins with what dead adapters have left in the spool.

        Args:
            patience_s: a transaction that takes longer counts as failed until it ends.
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
        self._thread = threading.Thread(target=self._run, name="usage-ledger", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> bool:
        """Whether the last transaction failed, or this one lasts too long."""
        began = self._began
        too_long = began is not None and time.monotonic() - began > self._patience_s
        return too_long or self._failed_at is not None

    def keep(self, record: UsageRecord) -> bool:
        """Put a record into the spool: when this returns, it outlives this process.

        To be called in an event loop, always the same.

        Returns:
            Whether the spool took it.
        """
        try:
            # Into the page cache: a thread would cost more than it saves.
            self._spool.append([record])
        except OSError as error:
            _log.error("the usage ledger's spool cannot be written: %s", error.strerror)
            return False
        self._metrics.spooled.inc()
        if not self._gathering:
            # Later, and by the loop: a thread that wakes now would take its time from the answer.
            self._gathering = True
            asyncio.get_running_loop().call_later(_GATHER_S, self._gathered)
        return True

    def _gathered(self) -> None:
        self._gathering = False
        with self._changed:
            self._kept = True
            self._changed.notify()

    def hand_over(self, record: UsageRecord) -> None:
        """Have a record written that the spool has not taken; nobody waits for it."""
        self._ask(_Errand(record=record))

    async def written(self, record: UsageRecord | None = None) -> None:
        """Wait until the database has all that was kept so far, if it takes it in time.

        Args:
            record: to be written as well: one that the spool has not taken.

        Raises:
            StoreError: if `record` could not be written either.
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
            # The thread may write it yet: that somebody enters it by hand changes nothing then.
            raise self._lost([record])

    def close(self) -> None:
        """Write what is left. Blocks; what the database does not take in time stays spooled."""
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
        """Until there is something to write; false at the end."""
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
        """Move everything that there is to the database."""
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
        """Let those go on who wait; what is in the spool is safe there."""
        _settle(errand for errand in errands if errand.record is None)
        # Who lost patience has counted the loss already.
        left = [errand for errand in errands if errand.done is None or not errand.done.cancelled()]
        if records := [errand.record for errand in left if errand.record is not None]:
            _settle(left, self._lost(records))

    def _move(self, records: Sequence[UsageRecord], *, recovering: bool) -> None:
        """Insert records and the spool, and remove what of it is inserted."""
        if recovering:
            with self._transaction():
                pass
            self._adopt()
        self._insert(records)
        self._drain()
        # After those who wait were noted: their records are in it.
        taken = self._spool.take()
        if taken is not None:
            self._files.append(taken)
            self._drain()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One of the database, whose time counts."""
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
        """Take over what dead adapters have left."""
        try:
            self._files += self._spool.left_by_others()
        except OSError as error:
            _log.error("the usage ledger's spool cannot be read: %s", error.strerror)
        self._kept = self._kept or bool(self._files)

    def _failed(self, failure: Exception) -> None:
        self._metrics.failures.inc()
        if self._failed_at is None:
            # What other exceptions say might repeat a record's values.
            known = isinstance(failure, (StoreError, OSError))
            reason = str(failure) if known else type(failure).__name__
            _log.error("the usage ledger stays in its spool: %s", reason)
        self._failed_at = time.monotonic()

    def _lost(self, records: Sequence[UsageRecord]) -> StoreError:
        """Count them, and put their numbers where a person finds them."""
        self._metrics.lost.inc(len(records))
        for record in records:
            # Numbers and ids only: enough to enter it by hand.
            _log.critical("the usage ledger lost a record: %s", record.line().decode().rstrip())
        return StoreError("the usage ledger can write nowhere: neither its spool nor its database")

    def _damaged(self, line: bytes) -> None:
        self._metrics.damaged.inc()
        _log.error("the usage ledger's spool has a line of %d bytes that is no record", len(line))
        self._spool.keep_damaged(line)


def _settle(errands: Iterable[_Errand], error: StoreError | None = None) -> None:
    """Tell those who wait, with one call for each of their loops."""
    waiting = [errand.done for errand in errands if errand.done is not None]
    for loop in {done.get_loop() for done in waiting}:
        mine = [done for done in waiting if done.get_loop() is loop]
        # A loop that is closed has nobody who waits.
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
