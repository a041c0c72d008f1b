from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from tests.postgres_server import PostgresServer

_DATA = Path(__file__).parents[2] / "data" / "database"
DIALECTS = ["sqlite", "postgresql"]


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without tables, of each kind."""
    if dialect == "sqlite":
        return f"sqlite:///{tmp_path / 'endpoint.db'}"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def old_url(empty_url: str, dialect: str) -> str:
    """A database that version 0.1 has written."""
    script = (_DATA / f"version_0_1.{dialect}.sql").read_text("utf-8")
    if dialect == "sqlite":
        connection = sqlite3.connect(empty_url.removeprefix("sqlite:///"))
        connection.executescript(script)
        connection.close()
    else:
        change(empty_url, script)
    return empty_url


@pytest.fixture
def old_keys(dialect: str) -> dict[str, Any]:
    """The keys of `old_url`: `active` and `revoked`."""
    found = json.loads((_DATA / "version_0_1.keys.json").read_text("utf-8"))
    return {"pepper": found["pepper"], **found[dialect]}


def change(url: str, *statements: str) -> None:
    """Statements of the database's own, past everything of ours."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Rows, past everything of ours."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.exec_driver_sql(statement)]
    engine.dispose()
    return rows
