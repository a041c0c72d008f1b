"""The endpoint's own database: keys, ledger, stored responses, batches.

SQLite in a file by default, PostgreSQL where several adapters share it. Statements run in threads;
each `run` is one transaction.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic.util import CommandError
from enginehouse.gateway.database.migration import migrate
from enginehouse.gateway.database.schema import schemas
from enginehouse.gateway.database.text_values import storable
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from enginehouse.errors import StoreError
from enginehouse.lines import split_lines
from enginehouse.retry import RetryPolicy
from enginehouse.sqlite_urls import sqlite_path
from enginehouse.urls import redacted

#: Every table of the endpoint; each module that has some declares them here, and with `own_tables`.
metadata = MetaData()
_T = TypeVar("_T")
#: Any number that nothing else locks in this database.
_LOCK = 7_305_219
#: Some thirty seconds, as long as a transaction waits for another.
_WAL_SWITCH = RetryPolicy(attempts=60, base_s=0.05, most_s=1.0)


class Database:
    """Transactions on one database."""

    def __init__(self, url: str) -> None:
        """Open it and bring its tables to what this version of the code needs.

        Raises:
            StoreError: if it cannot be opened or upgraded; nothing was changed then.
        """
        self._url = url
        file = sqlite_path(url)
        if file is not None:
            _private_file(file)
        try:
            _migrate(url)
            self._engine = _engine(url)
        except (SQLAlchemyError, CommandError, OSError, ValueError) as error:
            raise StoreError(
                f"the endpoint's database cannot be used: {redacted(_reason(error), url)}"
            ) from None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed at the end of the block. Blocks.

        Raises:
            StoreError: if the database fails.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = redacted(_reason(error), self._url)
            raise StoreError(f"the endpoint's database: {reason}") from error

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        """Do some work in a transaction of its own, in a thread.

        Raises:
            StoreError: if the database fails.
        """

        def transaction() -> _T:
            with self.begin() as connection:
                return work(connection)

        return await asyncio.to_thread(transaction)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def _migrate(url: str) -> None:
    """One transaction over the tables of all stages; processes that start at once do it in turn."""
    engine = _engine(url, foreign_keys=False)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            for schema in schemas().values():
                migrate(connection, schema, metadata)
            if connection.dialect.name == "sqlite":
                _check_foreign_keys(connection)
    finally:
        engine.dispose()


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StoreError(
            f"the endpoint's database: a row of {broken[0]!r} refers to a row of {broken[2]!r} "
            "that does not exist; nothing was changed"
        )


def _engine(url: str, *, foreign_keys: bool = True) -> Engine:
    """An engine whose transactions write from their beginning, and whose texts are `storable`.

    Args:
        foreign_keys: off for migrations. SQLite changes a table by writing it anew and dropping
            the old one, which would delete what refers to its rows.
    """
    if not url.startswith("sqlite:"):
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    else:
        engine = create_engine(url, connect_args={"timeout": 30.0}, hide_parameters=True)
        _settle_sqlite(engine, foreign_keys=foreign_keys)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _storable(*call: Any) -> tuple[str, Any]:
        _connection, _cursor, statement, parameters, _context, _many = call
        return statement, storable(parameters)

    return engine


def _settle_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    # Readers and a writer side by side; a commit survives the process' death.
    switch = "ON" if foreign_keys else "OFF"

    @event.listens_for(engine, "connect")
    def _settle(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA foreign_keys={switch}")

    @event.listens_for(engine, "begin")
    def _write_lock(connection: Connection) -> None:
        # A transaction that reads and then writes must not find that another has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the journal's mode; SQLite does not wait for a lock here, as it does elsewhere.

    https://www.sqlite.org/c3ref/busy_handler.html: where waiting could end in a deadlock, the
    handler is not called.
    """
    retries = _WAL_SWITCH.retries()
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            pause_s = retries.pause_s() if busy else None
            if pause_s is None:
                raise
            time.sleep(pause_s)


def _private_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _reason(error: Exception) -> str:
    """The driver's own words: SQLAlchemy's would repeat the statement and its values."""
    original = getattr(error, "orig", None)
    return next(iter(split_lines(str(original or error))), type(error).__name__)
