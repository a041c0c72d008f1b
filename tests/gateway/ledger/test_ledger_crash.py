from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from enginehouse.gateway.ledger.records import UsageRecord

from tests.gateway.ledger.ledger_calls import day_sums, row_sums, rows

_ROOT = Path(__file__).parents[3]
_COUNT = 2000
_KILLS = 4


def _worker(
    url: str, directory: Path, first: int, last: int, confirm: str = "spool"
) -> subprocess.Popen[bytes]:
    script = [sys.executable, "-m", "tests.gateway.ledger.crash_writer"]
    given = [url, str(directory), str(first), str(last), confirm]
    return subprocess.Popen([*script, *given], cwd=_ROOT, stdout=subprocess.PIPE)


def _spooled(directory: Path) -> set[str]:
    """Ids that wait for the database."""
    files = [path.read_bytes() for path in directory.glob("usage-spool.*.jsonl")]
    return {UsageRecord.of_line(line).id for content in files for line in content.splitlines()}


def _ended(worker: subprocess.Popen[bytes]) -> list[str]:
    """What it says until its end."""
    assert worker.stdout is not None
    lines = worker.stdout.read().split(b"\n")
    worker.wait()
    return [line.decode() for line in lines if line]


@pytest.mark.parametrize(
    "confirm",
    [
        "spool",
        pytest.param("database", marks=pytest.mark.slow(reason="the same kills, confirmed later")),
    ],
)
def test_what_was_answered_is_in_the_ledger_once_however_often_it_is_killed(
    database_url: str, tmp_path: Path, confirm: str
) -> None:
    chance = random.Random(5)  # noqa: S311 - when to kill, the same each time
    answered: set[str] = set()
    for _ in range(_KILLS):
        worker = _worker(database_url, tmp_path, 0, _COUNT, confirm)
        assert worker.stdout is not None
        said = [worker.stdout.readline().strip() for _ in range(chance.randrange(1, 400))]
        worker.kill()
        answered |= {line.decode() for line in said} | set(_ended(worker))
        found = [row["id"] for row in rows(database_url)]
        survived = set(found) if confirm == "database" else set(found) | _spooled(tmp_path)
        assert answered <= survived
        assert len(found) == len(set(found))
        assert day_sums(database_url) == row_sums(database_url)
    assert 0 < len(answered) < _COUNT, "it was killed before anything or after all"
    # The same ids again, to the end: those that are there already change nothing.
    last = _worker(database_url, tmp_path, 0, _COUNT, confirm)
    assert len(_ended(last)) == _COUNT
    assert last.returncode == 0
    assert len(rows(database_url)) == _COUNT
    expected = {
        "requests": _COUNT,
        "prompt_tokens": 100 * _COUNT,
        "completion_tokens": 3 * _COUNT,
        "cost_micros": 230 * _COUNT,
    }
    assert row_sums(database_url) == day_sums(database_url) == expected
    assert _spooled(tmp_path) == set()


def test_two_adapters_that_write_the_same_ids_at_once_bill_each_once(
    database_url: str, tmp_path: Path
) -> None:
    # Makes the tables: who makes them when two start at once is not asked here.
    assert rows(database_url) == []
    workers = [
        _worker(database_url, tmp_path / str(place), first, first + 600)
        for place, first in enumerate((0, 300))
    ]
    assert [len(_ended(worker)) for worker in workers] == [600, 600]
    assert [row["id"] for row in rows(database_url)] == [f"call-{n:05d}" for n in range(900)]
    assert day_sums(database_url) == row_sums(database_url)
