from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from enginehouse.gateway.access.keys import KeyStore
from enginehouse.gateway.access.secret import Pepper
from enginehouse.gateway.database.database import Database


@dataclass
class Clock:
    """Unix seconds, or any; it goes when it is told to."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pepper() -> Pepper:
    return Pepper(b"a pepper of the tests")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'endpoint.db'}")
    yield database
    database.close()


@pytest.fixture
def store(database: Database, pepper: Pepper, clock: Clock) -> KeyStore:
    return KeyStore(database, pepper, now=clock)
