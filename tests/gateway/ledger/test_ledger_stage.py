from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.ledger.stage import UsageLedger

from enginehouse.errors import (
    DeadlineError,
    EngineUnavailableError,
    RateLimitError,
    RequestCancelledError,
)
from enginehouse.generation import FinishReason
from tests.gateway.ledger.ledger_calls import (
    OURS,
    day_sums,
    drain,
    engine,
    new_call,
    opened,
    row_sums,
    rows,
)
from tests.gateway.through import answered_with, through


def test_a_call_is_in_the_database_when_its_last_piece_is_out_if_that_is_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    call = new_call("chatcmpl-1", request_id="theirs")

    async def scenario() -> tuple[list[int], list[int]]:
        before, at_end = [], []
        async with (
            opened(database_url, tmp_path, confirm="database") as (ledger, _),
            aclosing(through(UsageLedger(ledger), call, engine(["a", "b"]))) as pieces,
        ):
            async for piece in pieces:
                found = await asyncio.to_thread(rows, database_url)
                (before if piece.finish is None else at_end).append(len(found))
        return before, at_end

    assert asyncio.run(scenario()) == ([0], [1])
    (row,) = rows(database_url)
    expected = {
        "id": "chatcmpl-1", "request_id": "theirs", "tenant": "acme", "key_id": "k1",
        "model": "smollm2", "version": 7, "source": "engine", "endpoint": "chat.completions",
        "prompt_tokens": 100, "completion_tokens": 2, "cached_tokens": 0,
        "prompt_micros": 2_000_000, "cached_micros": 2_000_000, "completion_micros": 10_000_000,
        "currency": "USD", "cost_micros": 220, "outcome": "completed",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["at_ms"] == int(call.at * 1000)
    assert call.cost_micros == 220


def test_only_pieces_that_end_an_answer_wait(tmp_path: Path) -> None:
    async def two_answers(call: Call) -> AsyncGenerator[TextChunk, None]:
        answered_with(call, OURS)
        yield TextChunk("first ends", finish=FinishReason.STOP)
        asked.append("more")
        yield TextChunk("second goes on", index=1)
        asked.append("end")
        yield TextChunk("second ends", index=1, finish=FinishReason.LENGTH)
        answered_with(call, OURS, Usage(1, 3))

    asked: list[str] = []
    seen: list[tuple[str, list[str]]] = []

    async def scenario() -> None:
        async with (
            opened(f"sqlite:///{tmp_path / 'e.db'}", tmp_path) as (ledger, _),
            aclosing(through(UsageLedger(ledger), new_call(), two_answers)) as pieces,
        ):
            seen.extend([(piece.text, list(asked)) async for piece in pieces])

    asyncio.run(scenario())
    assert seen == [
        ("first ends", ["more"]),
        ("second goes on", ["more"]),
        ("second ends", ["more", "end"]),
    ]


def test_what_was_generated_for_a_caller_who_left_is_billed(
    database_url: str, tmp_path: Path
) -> None:
    async def closed(call: Call) -> None:
        async with aclosing(through(UsageLedger(ledger), call, engine(["a", "b", "c"]))) as pieces:
            await anext(pieces)

    async def cancelled(call: Call) -> None:
        at_work = asyncio.Event()

        async def hanging(call: Call) -> AsyncGenerator[TextChunk, None]:
            async with aclosing(engine(["a", "b"])(call)) as pieces:
                yield await anext(pieces)
                at_work.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(drain(ledger, call, hanging))
        await at_work.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def scenario() -> None:
        nonlocal ledger
        async with opened(database_url, tmp_path) as (ledger, _):
            await closed(new_call("closed"))
            await cancelled(new_call("task"))

    ledger = None
    asyncio.run(scenario())
    found = [(row["id"], row["outcome"], row["cost_micros"]) for row in rows(database_url)]
    assert found == [("closed", "cancelled", 210), ("task", "cancelled", 210)]


@pytest.mark.parametrize(
    ("error", "outcome", "cost_micros"),
    [
        (EngineUnavailableError("gone"), "failed", 0),
        (RuntimeError("a bug"), "failed", 0),
        (DeadlineError("too late"), "cancelled", 220),
        (RequestCancelledError("left"), "cancelled", 220),
    ],
)
def test_an_answer_that_breaks_is_free_unless_the_caller_ended_it(
    tmp_path: Path, error: Exception, outcome: str, cost_micros: int
) -> None:
    url = f"sqlite:///{tmp_path / 'e.db'}"

    async def scenario() -> None:
        async with opened(url, tmp_path) as (ledger, _):
            with pytest.raises(type(error)):
                await drain(ledger, new_call(), engine(["a", "b"], error=error))

    asyncio.run(scenario())
    (row,) = rows(url)
    found = (row["outcome"], row["cost_micros"], row["completion_tokens"])
    assert found == (outcome, cost_micros, 2)
    assert day_sums(url) == row_sums(url)


def test_a_call_of_which_nothing_was_generated_is_not_in_the_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'e.db'}"

    async def scenario() -> None:
        async with opened(url, tmp_path) as (ledger, _):
            with pytest.raises(RateLimitError):
                await drain(ledger, new_call(), engine([], error=RateLimitError("slower")))

    asyncio.run(scenario())
    assert rows(url) == []


def test_a_caller_who_repeats_a_request_id_pays_each_time(
    database_url: str, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with opened(database_url, tmp_path) as (ledger, _):
            for _ in range(3):
                await drain(ledger, new_call(request_id="same"), engine(["a"]))

    asyncio.run(scenario())
    assert [row["request_id"] for row in rows(database_url)] == ["same"] * 3
    assert day_sums(database_url) == row_sums(database_url)


def test_calls_side_by_side_are_all_there_when_they_end(database_url: str, tmp_path: Path) -> None:
    async def one(place: int) -> None:
        await drain(ledger, new_call(f"c{place}"), engine(["a"] * (1 + place % 5)))
        done.append(f"c{place}")

    async def scenario() -> None:
        nonlocal ledger
        async with opened(database_url, tmp_path, batch=7, confirm="database") as (ledger, _):
            await asyncio.gather(*(one(place) for place in range(100)))
            # Before the writer is closed: what has ended is written.
            found = await asyncio.to_thread(rows, database_url)
            assert {row["id"] for row in found} == set(done)

    ledger = None
    done: list[str] = []
    asyncio.run(scenario())
    assert len(done) == 100
    assert day_sums(database_url) == row_sums(database_url)
