from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path

import pytest
from enginehouse.api.database import Database
from enginehouse.api.ledger.spool import Spool
from enginehouse.api.ledger.stage import UsageLedger
from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError
from tests.api.ledger.ledger_calls import day_sums, drain, engine, new_call, opened, row_sums, rows
from tests.conftest import wait_until
from tests.postgres_server import PostgresServer

_NEVER_S = 3600.0
_SPOOL = "usage-spool.jsonl"


def _break(path: Path) -> None:
    """Make every write fail as a damaged schema does; `Database` repairs it when opened."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE usage")


def _count(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(f"enginehouse_ledger_{name}")
    assert value is not None
    return value


def test_what_the_database_did_not_take_is_replayed_once(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def scenario() -> None:
        async with opened(url, tmp_path, retry_s=0.01) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            _break(path)
            assert await drain(ledger, new_call("while"), engine(["a", "b"])) == ["a", "b"]
            assert (tmp_path / _SPOOL).stat().st_mode & 0o777 == 0o600
            assert _count(registry, "failing") == 1
            Database(url).close()
            await asyncio.to_thread(
                wait_until, lambda: not _count(registry, "failing"), "the database"
            )
            assert _count(registry, "spooled_total") == 1
            await drain(ledger, new_call("after"), engine(["a"]))
            assert _count(registry, "lost_total") == 0

    asyncio.run(scenario())
    assert [row["id"] for row in rows(url)] == ["after", "while"]
    assert list(tmp_path.glob("usage-spool*")) == []


def test_a_spool_that_a_killed_adapter_left_is_replayed_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def spooled() -> None:
        async with opened(url, tmp_path, retry_s=_NEVER_S) as (ledger, _):
            _break(path)
            for name in ("one", "two", "three"):
                await drain(ledger, new_call(name), engine(["a"]))

    async def restarted() -> None:
        async with opened(url, tmp_path):
            pass

    asyncio.run(spooled())
    content = (tmp_path / _SPOOL).read_bytes()
    Database(url).close()
    asyncio.run(restarted())
    # A crash between the transaction and the removal leaves the file, renamed, with old records.
    (tmp_path / "usage-spool.left.claimed").write_bytes(content)
    asyncio.run(restarted())
    assert [row["id"] for row in rows(url)] == ["one", "three", "two"]
    assert day_sums(url) == row_sums(url)
    assert list(tmp_path.glob("usage-spool*")) == []


def test_a_torn_line_of_the_spool_is_put_aside_and_the_others_count(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def spooled() -> None:
        async with opened(url, tmp_path, retry_s=_NEVER_S) as (ledger, _):
            _break(path)
            await drain(ledger, new_call("whole"), engine(["a"]))

    asyncio.run(spooled())
    with (tmp_path / _SPOOL).open("ab") as file:
        file.write(b'{"id":"torn","requ')
    Database(url).close()

    async def restarted() -> float:
        async with opened(url, tmp_path) as (_, registry):
            await asyncio.to_thread(wait_until, lambda: not Spool(tmp_path).waiting, "the replay")
            return _count(registry, "damaged_total")

    assert asyncio.run(restarted()) == 1
    assert [row["id"] for row in rows(url)] == ["whole"]
    assert (tmp_path / "usage-spool.damaged").read_bytes() == b'{"id":"torn","requ\n'


def test_a_database_that_hangs_holds_no_answer_longer_than_its_patience(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def scenario() -> None:
        async with opened(url, tmp_path, patience_s=0.05, retry_s=0.01) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            # Nothing gives the lock back before both are answered.
            assert await drain(ledger, new_call("first"), engine(["a"])) == ["a"]
            assert await drain(ledger, new_call("second"), engine(["a"])) == ["a"]
            assert _count(registry, "failing") == 1
            assert len((tmp_path / _SPOOL).read_bytes().splitlines()) == 2
            other.execute("ROLLBACK")
            other.close()
            await asyncio.to_thread(
                wait_until, lambda: not _count(registry, "failing"), "the database"
            )
            await drain(ledger, new_call("third"), engine(["a"]))

    asyncio.run(scenario())
    assert [row["id"] for row in rows(url)] == ["before", "first", "second", "third"]
    assert day_sums(url) == row_sums(url)


def test_refuse_asks_no_engine_while_postgresql_is_away(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.new_database()

    async def scenario() -> None:
        async with opened(url, tmp_path, on_failure="refuse", retry_s=0.05) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            postgres.kill()
            try:
                # The first learns of it when the engine has answered: it is spooled.
                assert await drain(ledger, new_call("during"), engine(["a"])) == ["a"]
                asked = engine([], error=AssertionError("the engine was asked"))
                with pytest.raises(StoreError, match="on_failure"):
                    await drain(ledger, new_call("refused"), asked)
            finally:
                postgres.start()
            await asyncio.to_thread(
                wait_until, lambda: not _count(registry, "failing"), "PostgreSQL"
            )
            await drain(ledger, new_call("since"), engine(["a"]))

    asyncio.run(scenario())
    assert [row["id"] for row in rows(url)] == ["before", "during", "since"]


@pytest.mark.parametrize("on_failure", ["spool", "refuse"])
def test_a_record_that_nothing_takes_is_in_the_log_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def scenario() -> float:
        config = {"on_failure": on_failure, "retry_s": _NEVER_S}
        async with opened(url, tmp_path, **config) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            _break(path)
            (tmp_path / _SPOOL).symlink_to("/dev/full")
            stage = UsageLedger(ledger)(new_call("lost"), engine(["hidden word", "end"]))
            if on_failure == "refuse":
                with pytest.raises(StoreError, match="nowhere"):
                    _ = [piece async for piece in stage]
            else:
                assert [piece.text async for piece in stage] == ["hidden word", "end"]
            (tmp_path / _SPOOL).unlink()
            return _count(registry, "lost_total")

    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(scenario()) == 1
    assert '"id":"lost"' in caplog.text
    assert '"completion_tokens":2' in caplog.text
    assert "hidden word" not in caplog.text
