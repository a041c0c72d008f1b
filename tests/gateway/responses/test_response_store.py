"""Stored responses on a real SQLite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.responses.config import ResponsesConfig
from enginehouse.gateway.responses.store import ResponseChain, ResponseStore, open_responses

from enginehouse.errors import InvalidRequestError, NotFoundError
from tests.gateway.responses.conftest import Clock


def _item(text: str) -> dict[str, Any]:
    return {"id": f"msg_{text}", "type": "message", "role": "user", "content": text}


async def _save(store: ResponseStore, name: str, previous: str | None = None) -> None:
    chain = ResponseChain() if previous is None else await store.chain("a", previous)
    body = {
        "id": name,
        "created_at": 1,
        "previous_response_id": previous,
        "output": [_item(f"out {name}")],
    }
    await store.save("a", body, [_item(f"in {name}")], chain)


def _texts(chain: ResponseChain) -> list[str]:
    return [item["content"] for item in chain.items]


def test_a_conversation_is_put_together_oldest_first(store: ResponseStore) -> None:
    async def talk() -> ResponseChain:
        await _save(store, "1")
        await _save(store, "2", "1")
        await _save(store, "3", "2")
        return await store.chain("a", "3")

    chain = asyncio.run(talk())
    assert chain.ids == ("3", "2", "1")
    assert _texts(chain) == ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"]


def test_a_branch_has_its_own_past_only(store: ResponseStore) -> None:
    async def talk() -> ResponseChain:
        await _save(store, "1")
        await _save(store, "2", "1")
        await _save(store, "other", "1")
        return await store.chain("a", "other")

    assert asyncio.run(talk()).ids == ("other", "1")


def test_another_tenant_sees_continues_and_deletes_nothing(store: ResponseStore) -> None:
    async def try_all() -> None:
        await _save(store, "1")
        for attempt in (store.body, store.items, store.delete):
            with pytest.raises(NotFoundError):
                await attempt("b", "1")
        with pytest.raises(InvalidRequestError) as failed:
            await store.chain("b", "1")
        assert failed.value.field == "previous_response_id"
        assert (await store.body("a", "1"))["id"] == "1"

    asyncio.run(try_all())


def test_what_is_deleted_is_gone_and_breaks_what_continued_it(
    store: ResponseStore, tmp_path: Path
) -> None:
    async def talk() -> None:
        await _save(store, "1")
        await _save(store, "2", "1")
        await store.delete("a", "1")
        with pytest.raises(NotFoundError):
            await store.body("a", "1")
        with pytest.raises(NotFoundError):
            await store.delete("a", "1")
        assert (await store.body("a", "2"))["id"] == "2"
        with pytest.raises(InvalidRequestError, match="no response '1' is stored"):
            await store.chain("a", "2")

    asyncio.run(talk())


def test_a_response_is_forgotten_in_time(store: ResponseStore, clock: Clock) -> None:
    async def wait() -> int:
        await _save(store, "1")
        clock.now += 101.0
        with pytest.raises(NotFoundError):
            await store.body("a", "1")
        return await store.sweep()

    assert asyncio.run(wait()) == 1


def test_a_response_lives_as_long_as_what_continues_it(store: ResponseStore, clock: Clock) -> None:
    async def wait() -> ResponseChain:
        await _save(store, "1")
        await _save(store, "alone")
        clock.now += 60.0
        await _save(store, "2", "1")
        clock.now += 60.0
        assert await store.sweep() == 1
        return await store.chain("a", "2")

    assert asyncio.run(wait()).ids == ("2", "1")


def test_an_open_store_sweeps_by_itself(database: Database, clock: Clock) -> None:
    async def swept() -> None:
        old = ResponseStore(database, keep_s=1.0, now=clock)
        await _save(old, "1")
        async with open_responses(database, ResponsesConfig(sweep_every_s=0.001)):
            while await database.run(_count):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)

    def _count(connection: Any) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM responses").scalar_one())

    asyncio.run(swept())
