"""Spending of a tenant or a key, for budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.prices import units
from enginehouse.gateway.ledger.tables import usage_day
from sqlalchemy import Connection, case, func, select

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class SpendingTotals:
    """Sums since the beginning of the day and of the month, both in UTC.

    Attributes:
        day_tokens: prompt and completion tokens together.
        day_cost: cost in units of the price table's currency.
    """

    day_tokens: int
    month_tokens: int
    day_cost: float
    month_cost: float


class LedgerSpending:
    """Reads sums from the ledger's table of daily usage."""

    def __init__(self, database: Database, currency: str) -> None:
        self._database = database
        self._currency = currency

    async def spent(
        self, tenant: str, key_id: str | None, *, now: datetime | None = None
    ) -> SpendingTotals:
        """The spending of one key, or of the whole tenant if `key_id` is None.

        Args:
            now: time to use instead of the current one.

        Raises:
            StoreError: if the database fails.
        """
        today = (now or datetime.now(UTC)).astimezone(UTC).date()
        return await self._database.run(lambda db: self._sums(db, tenant, key_id, today))

    def _sums(
        self, connection: Connection, tenant: str, key_id: str | None, today: date
    ) -> SpendingTotals:
        table = usage_day.c
        day = (today - _EPOCH).days
        first = day - today.day + 1
        tokens = table.prompt_tokens + table.completion_tokens
        # Costs in another currency, configured earlier, cannot be added.
        cost = case((table.currency == self._currency, table.cost_micros), else_=0)
        sums = [
            func.coalesce(func.sum(case((table.day == day, value), else_=0)), 0)
            for value in (tokens, cost)
        ] + [func.coalesce(func.sum(value), 0) for value in (tokens, cost)]
        query = select(*sums).where(table.tenant == tenant, table.day.between(first, day))
        if key_id is not None:
            query = query.where(table.key_id == key_id)
        day_tokens, day_micros, month_tokens, month_micros = connection.execute(query).one()
        return SpendingTotals(
            day_tokens=int(day_tokens),
            month_tokens=int(month_tokens),
            day_cost=float(units(int(day_micros))),
            month_cost=float(units(int(month_micros))),
        )
