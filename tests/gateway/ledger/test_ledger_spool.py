from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from pathlib import Path

import pytest
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.config import LedgerConfig
from enginehouse.gateway.ledger.prices import PriceTable
from enginehouse.gateway.ledger.records import UsageOutcome, UsageRecord, record_of
from enginehouse.gateway.ledger.report import UsageQuery
from enginehouse.gateway.ledger.spool import Spool, waiting
from enginehouse.gateway.ledger.stage import UsageLedger
from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError
from tests.conftest import wait_until
from tests.gateway.ledger.ledger_calls import (
    day_sums,
    drain,
    engine,
    new_call,
    opened,
    row_sums,
    rows,
)
from tests.gateway.through import through
from tests.postgres_server import PostgresServer

_NEVER_S = 3600.0


def _break(path: Path) -> None:
    """Make every write fail as a damaged schema does; `Database` repairs it when opened."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE usage")


def _record(call_id: str) -> UsageRecord:
    return record_of(new_call(call_id), UsageOutcome.COMPLETED, PriceTable.of(LedgerConfig()))


def _spooled(directory: Path) -> list[Path]:
    return sorted(directory.glob("usage-spool.*.jsonl"))


def _filled(directory: Path) -> list[Path]:
    """Without the one that is ready for the next record."""
    return [path for path in _spooled(directory) if path.stat().st_size]


def _count(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(f"enginehouse_ledger_{name}")
    assert value is not None
    return value


def test_a_record_is_on_disk_when_the_answer_is_out_and_then_in_the_database(
    database_url: str, tmp_path: Path
) -> None:
    async def scenario() -> float:
        async with opened(database_url, tmp_path) as (ledger, registry):
            await drain(ledger, new_call("one"), engine(["a"]))
            kept = [path.read_bytes() for path in _spooled(tmp_path)]
            assert rows(database_url) or b'"id":"one"' in b"".join(kept)
            await asyncio.to_thread(wait_until, lambda: not waiting(tmp_path), "the database")
            assert [row["id"] for row in rows(database_url)] == ["one"]
            return _count(registry, "spooled_total")

    assert asyncio.run(scenario()) == 1
    assert _spooled(tmp_path) == []


def test_a_report_has_what_was_answered_before_it(database_url: str, tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        counts = []
        async with opened(database_url, tmp_path) as (ledger, _):
            for _ in range(3):
                await drain(ledger, new_call(), engine(["a"]))
                (row,) = await ledger.report(UsageQuery())
                counts.append(row.requests)
        return counts

    assert asyncio.run(scenario()) == [1, 2, 3]


@pytest.mark.parametrize("confirm", ["spool", "database"])
def test_what_the_database_did_not_take_is_replayed_once(tmp_path: Path, confirm: str) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def scenario() -> None:
        async with opened(url, tmp_path, retry_s=0.01, confirm=confirm) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            _break(path)
            assert await drain(ledger, new_call("while"), engine(["a", "b"])) == ["a", "b"]
            await asyncio.to_thread(wait_until, lambda: _count(registry, "failing"), "the failure")
            (_,) = _filled(tmp_path)
            assert {path.stat().st_mode & 0o777 for path in _spooled(tmp_path)} == {0o600}
            # However often it was tried, there is one file: each holds a descriptor.
            await drain(ledger, new_call("later"), engine(["a"]))
            failures = _count(registry, "failures_total")
            await asyncio.to_thread(
                wait_until, lambda: _count(registry, "failures_total") > failures + 5, "more tries"
            )
            assert len(_filled(tmp_path)) <= 2
            Database(url).close()
            await asyncio.to_thread(
                wait_until, lambda: not _count(registry, "failing"), "the database"
            )
            await drain(ledger, new_call("after"), engine(["a"]))
            assert _count(registry, "lost_total") == 0

    asyncio.run(scenario())
    # The table was dropped; if `before` was not in it yet, it came with the others.
    found = [row["id"] for row in rows(url)]
    assert [name for name in found if name != "before"] == ["after", "later", "while"]
    assert _spooled(tmp_path) == []


def test_a_file_that_was_tidied_away_while_it_lay_ready_takes_no_record(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([_record("one")])
    assert spool.take() is not None
    for path in _spooled(tmp_path):
        path.unlink()
    spool.append([_record("two")])
    assert waiting(tmp_path) == 1
    spool.close()


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

    Database(url).close()
    asyncio.run(spooled())
    left = {path: path.read_bytes() for path in _spooled(tmp_path)}
    assert left
    Database(url).close()
    asyncio.run(restarted())
    # A crash between the transaction and the removal leaves the file with old records.
    for spool, content in left.items():
        spool.write_bytes(content)
    asyncio.run(restarted())
    assert [row["id"] for row in rows(url)] == ["one", "three", "two"]
    assert day_sums(url) == row_sums(url)
    assert _spooled(tmp_path) == []


def test_nobody_replays_what_another_adapter_is_writing(tmp_path: Path) -> None:
    mine, other = Spool(tmp_path), Spool(tmp_path)
    mine.append([_record("one")])
    assert other.left_by_others() == []
    taken = mine.take()
    assert taken is not None
    assert other.left_by_others() == []
    mine.append([_record("two")])
    taken.close()
    (left,) = other.left_by_others()
    assert [record.id for record in left.records(lambda _: None)] == ["one"]
    assert mine.left_by_others() == []
    left.remove()
    assert waiting(tmp_path) == 1


def test_a_torn_line_of_the_spool_is_put_aside_and_the_others_count(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'e.db'}"
    torn = b'{"id":"torn","requ'
    (tmp_path / "usage-spool.left.jsonl").write_bytes(_record("whole").line() + torn)

    async def restarted() -> float:
        async with opened(url, tmp_path) as (_, registry):
            await asyncio.to_thread(wait_until, lambda: not _spooled(tmp_path), "the replay")
            return _count(registry, "damaged_total")

    assert asyncio.run(restarted()) == 1
    assert [row["id"] for row in rows(url)] == ["whole"]
    assert (tmp_path / "usage-spool.damaged").read_bytes() == torn + b"\n"


@pytest.mark.parametrize("confirm", ["spool", "database"])
def test_a_database_that_hangs_holds_no_answer_longer_than_its_patience(
    tmp_path: Path, confirm: str
) -> None:
    path = tmp_path / "e.db"
    url = f"sqlite:///{path}"

    async def scenario() -> None:
        config = {"patience_s": 0.05, "retry_s": 0.01, "confirm": confirm}
        async with opened(url, tmp_path, **config) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            await asyncio.to_thread(wait_until, lambda: not waiting(tmp_path), "the database")
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            # Nothing gives the lock back before both are answered.
            assert await drain(ledger, new_call("first"), engine(["a"])) == ["a"]
            assert await drain(ledger, new_call("second"), engine(["a"])) == ["a"]
            await asyncio.to_thread(wait_until, lambda: _count(registry, "failing"), "the failure")
            assert waiting(tmp_path) == 2
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
            await asyncio.to_thread(wait_until, lambda: not waiting(tmp_path), "the database")
            postgres.kill()
            try:
                # It is spooled, and tells the ledger of the failure.
                assert await drain(ledger, new_call("during"), engine(["a"])) == ["a"]
                await asyncio.to_thread(
                    wait_until, lambda: _count(registry, "failing"), "the failure"
                )
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


def test_without_a_spool_the_database_is_waited_for(tmp_path: Path) -> None:
    url, home = f"sqlite:///{tmp_path / 'e.db'}", tmp_path / "ledger"

    async def scenario() -> None:
        async with opened(url, home) as (ledger, registry):
            home.rmdir()
            await drain(ledger, new_call("one"), engine(["a"]))
            assert [row["id"] for row in await asyncio.to_thread(rows, url)] == ["one"]
            ledger.record_cut(new_call("cut"), UsageOutcome.CANCELLED)
            await asyncio.to_thread(wait_until, lambda: len(rows(url)) > 1, "the database")
            assert _count(registry, "lost_total") == 0

    asyncio.run(scenario())
    assert [row["id"] for row in rows(url)] == ["cut", "one"]


@pytest.mark.parametrize("on_failure", ["spool", "refuse"])
def test_a_record_that_nothing_takes_is_in_the_log_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    path, home = tmp_path / "e.db", tmp_path / "ledger"
    url = f"sqlite:///{path}"

    async def scenario() -> float:
        config = {"on_failure": on_failure, "retry_s": _NEVER_S}
        async with opened(url, home, **config) as (ledger, registry):
            await drain(ledger, new_call("before"), engine(["a"]))
            await asyncio.to_thread(wait_until, lambda: not waiting(home), "the database")
            _break(path)
            shutil.rmtree(home)
            stage = through(UsageLedger(ledger), new_call("lost"), engine(["hidden word", "end"]))
            if on_failure == "refuse":
                with pytest.raises(StoreError, match="nowhere"):
                    _ = [piece async for piece in stage]
            else:
                assert [piece.text async for piece in stage] == ["hidden word", "end"]
            # The failure is known now, so further calls do not wait.
            ledger.record_cut(new_call("lost too"), UsageOutcome.CANCELLED)
            await asyncio.to_thread(
                wait_until, lambda: _count(registry, "lost_total") > 1, "the other"
            )
            return _count(registry, "lost_total")

    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(scenario()) == 2
    assert '"id":"lost"' in caplog.text
    assert '"id":"lost too"' in caplog.text
    assert '"completion_tokens":2' in caplog.text
    assert "hidden word" not in caplog.text
