"""The usage ledger as other stages see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from enginehouse.api.call import Call, ServedBy
from enginehouse.gateway.accounting import MICROS_A_UNIT
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.config import Confirm, LedgerConfig, OnFailure
from enginehouse.gateway.ledger.metrics import LedgerMetrics
from enginehouse.gateway.ledger.prices import PriceTable
from enginehouse.gateway.ledger.records import UsageOutcome, UsageRecord, record_of
from enginehouse.gateway.ledger.report import UsageQuery, UsageRow, usage_report
from enginehouse.gateway.ledger.spending import LedgerSpending
from enginehouse.gateway.ledger.spool import Spool
from enginehouse.gateway.ledger.writer import GroupWriter
from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError


class Ledger:
    """Records the usage of calls, and reports it.

    Attributes:
        spending: sums for budgets.
    """

    def __init__(
        self,
        database: Database,
        config: LedgerConfig,
        directory: Path,
        registry: CollectorRegistry,
    ) -> None:
        """Start the writer.

        Args:
            directory: directory of the spool.

        Raises:
            StoreError: if the directory cannot be used.
        """
        self._database = database
        self._config = config
        self._prices = PriceTable.of(config)
        try:
            spool = Spool(directory)
        except OSError as error:
            raise StoreError(f"the usage ledger's spool {directory}: {error.strerror}") from None
        self._writer = GroupWriter(
            database,
            spool,
            LedgerMetrics(registry),
            retry_s=config.retry_s,
            patience_s=config.patience_s,
            batch=config.batch,
        )
        self.spending = LedgerSpending(database, config.currency)

    def check(self) -> None:
        """Check that a call may be served.

        Raises:
            StoreError: if the database fails and `on_failure` is ``refuse``.
        """
        if self._config.on_failure is OnFailure.REFUSE and self._writer.failing:
            raise StoreError(
                "usage cannot be written down right now, and `ledger.on_failure` is `refuse`: "
                "try again later"
            ).told(None)

    async def record(self, call: Call) -> None:
        """Record the usage of a call that was answered.

        Raises:
            StoreError: if it could not be written anywhere and `on_failure` is ``refuse``.
        """
        record = self._record(call, UsageOutcome.COMPLETED)
        kept = self._writer.keep(record)
        if kept and self._config.confirm is Confirm.SPOOL:
            return
        try:
            await self._writer.written(None if kept else record)
        except StoreError:
            # With `spool` the answer is sent; the record is in the log and counted as lost.
            if self._config.on_failure is OnFailure.REFUSE:
                raise

    def record_cut(self, call: Call, outcome: UsageOutcome) -> None:
        """Have a call written down that ended early; nobody waits for it."""
        record = self._record(call, outcome)
        if not self._writer.keep(record):
            self._writer.hand_over(record)

    def _record(self, call: Call, outcome: UsageOutcome) -> UsageRecord:
        record = record_of(call, outcome, self._prices)
        call.cost_micros = record.cost_micros
        return record

    def price(self, served: ServedBy, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of a call, in units of the currency; 0 if no price is known."""
        rates = self._prices.rates(served)
        micros = 0 if rates is None else rates.cost_micros(prompt_tokens, 0, completion_tokens)
        return micros / MICROS_A_UNIT

    async def report(self, query: UsageQuery) -> list[UsageRow]:
        """Sums of usage, including every answer of this adapter up to now.

        Raises:
            StoreError: if the database fails.
        """
        await self._writer.written()
        return await self._database.run(lambda connection: usage_report(connection, query))

    def close(self) -> None:
        """Write all remaining records. Blocks."""
        self._writer.close()


@asynccontextmanager
async def open_ledger(
    database: Database, config: LedgerConfig, directory: Path, registry: CollectorRegistry
) -> AsyncIterator[Ledger]:
    """Open the ledger; it is closed when the block ends. See `Ledger`.

    Raises:
        StoreError: if the directory of its spool cannot be used.
    """
    ledger = await asyncio.to_thread(Ledger, database, config, directory, registry)
    try:
        yield ledger
    finally:
        await asyncio.to_thread(ledger.close)
