"""The endpoint's database: opened by several at once, private, and silent about its values."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy

# Its tables are declared where they are used.
from enginehouse.api import assembly  # noqa: F401 - declares them
from enginehouse.gateway.database.database import Database, metadata

from enginehouse.errors import StoreError
from tests.postgres_server import PostgresServer


def test_adapters_that_start_at_once_on_an_empty_database_all_start(
    postgres: PostgresServer,
) -> None:
    assert metadata.tables
    for _ in range(5):
        url = postgres.new_database()
        with ThreadPoolExecutor(4) as pool:
            opened = list(pool.map(lambda _, url=url: Database(url), range(4)))
        for database in opened:
            database.close()


def test_a_database_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "endpoint.db"
    Database(f"sqlite:///{path}").close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failure_does_not_repeat_the_statement_s_values(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'endpoint.db'}")
    with pytest.raises(StoreError) as raised, database.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO nowhere VALUES (:x)"), {"x": "Zebulon"})
    assert "nowhere" in str(raised.value)
    assert "Zebulon" not in f"{raised.value} {raised.value.__cause__}"
    database.close()


def test_a_database_that_cannot_be_reached_is_named_as_such() -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        Database("postgresql+psycopg2://nobody@127.0.0.1:1/none")
