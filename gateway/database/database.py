"""The endpoint's own database: keys, ledger, stored responses, batches.

SQLite in a file by default, PostgreSQL where several adapters share it. Statements run in threads;
each `run` is one transaction.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from enginehouse.errors import StoreError
from enginehouse.lines import split_lines
from enginehouse.sqlite_urls import sqlite_path
from enginehouse.urls import redacted

#: Every table of the endpoint; each module that has one declares it here.
metadata = MetaData()
_T = TypeVar("_T")
#: Any number that nothing else locks in this database.
_LOCK = 7_305_219


class Database:
    """Transactions on one database."""

    def __init__(self, url: str) -> None:
        """Open it and create the tables that are missing.

        Raises:
            StoreError: if it cannot be opened.
        """
        self._url = url
        file = sqlite_path(url)
        if file is not None:
            _private_file(file)
        try:
            self._engine = _engine(url)
            self._create_tables()
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise StoreError(
                f"the endpoint's database cannot be used: {redacted(_reason(error), url)}"
            ) from None

    def _create_tables(self) -> None:
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Two adapters that start at once would both make the same table.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            metadata.create_all(connection)

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


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite:"):
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(url, connect_args={"timeout": 30.0}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, _: ConnectionPoolEntry) -> None:
        # Readers and a writer side by side; a commit survives the process' death.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _write_lock(connection: Connection) -> None:
        # A transaction that reads and then writes must not find that another has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _private_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _reason(error: Exception) -> str:
    """The driver's own words: SQLAlchemy's would repeat the statement and its values."""
    original = getattr(error, "orig", None)
    return next(iter(split_lines(str(original or error))), type(error).__name__)
