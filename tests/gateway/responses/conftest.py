from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.responses.store import ResponseStore


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(f"sqlite:///{tmp_path / 'endpoint.db'}")
    yield found
    found.close()


@pytest.fixture
def store(database: Database, clock: Clock) -> ResponseStore:
    return ResponseStore(database, keep_s=100.0, now=clock)
