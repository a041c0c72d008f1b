"""The ledger's tables, and writing to them exactly once.

`usage` has a row for each call. `usage_day` has sums of those rows; both change in one
transaction, so that budgets and reports read a few rows and never wait for a large table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from enginehouse.gateway.database.database import metadata
from enginehouse.gateway.database.schema import own_tables
from enginehouse.gateway.ledger.records import UsageRecord
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Float,
    Index,
    Integer,
    String,
    Table,
)

DAY_MS = 86_400_000
#: What stands in `usage_day` where a row of `usage` has NULL: a key's columns take no NULL.
NO_KEY = ""
NO_VERSION = 0

usage = Table(
    "usage",
    metadata,
    Column("id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("tenant", String, nullable=False),
    Column("key_id", String),
    Column("model", String, nullable=False),
    Column("version", Integer),
    Column("source", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("prompt_micros", BigInteger),
    Column("cached_micros", BigInteger),
    Column("completion_micros", BigInteger),
    Column("currency", String, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Index("usage_by_tenant", "tenant", "at_ms"),
)

KEY = (
    "tenant", "day", "key_id", "model", "version", "source", "endpoint", "outcome", "currency",
)  # fmt: skip
SUMS = (
    "requests", "prompt_tokens", "completion_tokens", "cached_tokens", "seconds", "cost_micros",
)  # fmt: skip

#: `day` counts days since 1970-01-01 UTC.
usage_day = Table(
    "usage_day",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("source", String, primary_key=True),
    Column("endpoint", String, primary_key=True),
    Column("outcome", String, primary_key=True),
    Column("currency", String, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
)

own_tables("ledger", __file__, usage, usage_day)

_ROW = tuple(column.name for column in usage.columns)
_CELLS = attrgetter(*_ROW)
#: SQLite takes 32 766 values in a statement.
_MOST_ROWS = 1000


def insert_once(connection: Connection, records: Sequence[UsageRecord]) -> int:
    """Write the records whose ids are not there yet.

    Returns:
        How many those were.
    """
    # Sorted, as the sums below: two adapters must not wait for each other's rows in a circle.
    ordered = sorted({record.id: record for record in records}.values(), key=attrgetter("id"))
    fresh: list[UsageRecord] = []
    for start in range(0, len(ordered), _MOST_ROWS):
        part = ordered[start : start + _MOST_ROWS]
        rows = [_CELLS(record) for record in part]
        ending = "ON CONFLICT (id) DO NOTHING RETURNING id"
        added = {row[0] for row in _insert(connection, usage.name, _ROW, rows, ending)}
        fresh += [record for record in part if record.id in added]
    sums = _summed(fresh)
    changes = ", ".join(f"{name} = {usage_day.name}.{name} + excluded.{name}" for name in SUMS)
    ending = f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {changes}"
    for start in range(0, len(sums), _MOST_ROWS):
        part_of_sums = sums[start : start + _MOST_ROWS]
        _insert(connection, usage_day.name, (*KEY, *SUMS), part_of_sums, ending)
    return len(fresh)


def _insert(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    ending: str,
) -> CursorResult[Any]:
    """One statement in the driver's own words: SQLAlchemy's cost several times what it does."""
    place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    one = f"({', '.join([place] * len(columns))})"
    values = ", ".join([one] * len(rows))
    # Names are this module's; every value is a parameter.
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values} {ending}"  # noqa: S608
    return connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows)))


def _summed(records: Iterable[UsageRecord]) -> list[tuple[Any, ...]]:
    """Rows of `usage_day`, each key once: one statement may not change a row twice."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for record in records:
        key = (
            record.tenant, record.at_ms // DAY_MS, record.key_id or NO_KEY, record.model,
            record.version or NO_VERSION, record.source, record.endpoint, record.outcome,
            record.currency,
        )  # fmt: skip
        more = (
            1, record.prompt_tokens, record.completion_tokens, record.cached_tokens,
            record.seconds, record.cost_micros,
        )  # fmt: skip
        sums = found.setdefault(key, [0] * len(more))
        for place, value in enumerate(more):
            sums[place] += value
    return [(*key, *found[key]) for key in sorted(found)]
