"""What differs between databases: leases, locks and chains, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.work import WorkStore
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.responses.store import ResponseChain, ResponseStore

from enginehouse.errors import ConflictError
from tests.gateway.batches.conftest import Clock, House, request_line
from tests.postgres_server import PostgresServer

_LINES = tuple(request_line(name) for name in "abcdef")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    found = PostgresServer()
    yield found
    found.stop()


@pytest.fixture
def shared(server: PostgresServer, tmp_path: Path) -> Iterator[House]:
    database = Database(server.new_database())
    yield House(database, tmp_path / "files", Clock(), BatchesConfig())
    database.close()


def test_of_many_adapters_one_runs_a_batch_and_each_line_once(shared: House) -> None:
    async def go() -> None:
        made = await shared.batch(*_LINES)
        taken = await asyncio.gather(*(shared.runner().take() for _ in range(8)))
        tasks = [task for some in taken for task in some]
        assert len(tasks) == 1
        await tasks[0]
        found = await shared.get(made)
        assert found["status"] == "completed"
        assert found["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
        good = await shared.results(found["output_file_id"])
        assert [line["custom_id"] for line in good] == list("abcdef")

    asyncio.run(go())
    assert sorted(shared.endpoint.ids) == list("abcdef")


def test_who_has_lost_the_lease_writes_nothing_any_more(shared: House) -> None:
    async def go() -> None:
        made = await shared.batch(*_LINES)
        late, quick = (
            WorkStore(shared.database, shared.files, shared.config, now=shared.clock)
            for _ in range(2)
        )
        assert await late.claim(1, ()) == [made]
        shared.clock.now += shared.config.lease_s + 1
        assert await quick.claim(1, ()) == [made]
        with pytest.raises(ConflictError):
            await late.record(made, 1, 200, "{}", {})
        assert (await quick.renew(made)).lease_owner == quick.owner

    asyncio.run(go())


def test_answers_that_come_at_once_are_all_counted(shared: House) -> None:
    shared.config = BatchesConfig(concurrency=16)
    lines = [request_line(str(number)) for number in range(200)]

    async def go() -> None:
        made = await shared.batch(*lines)
        await shared.run()
        found = await shared.get(made)
        assert found["request_counts"]["completed"] == 200
        assert found["usage"]["output_tokens"] == 600

    asyncio.run(go())


def test_a_conversation_is_put_together_and_bound_to_its_tenant(shared: House) -> None:
    async def go() -> None:
        store = ResponseStore(shared.database, 100.0, now=shared.clock)
        chain = ResponseChain()
        for name, previous in (("1", None), ("2", "1"), ("3", "2")):
            body = {
                "id": name,
                "created_at": 1,
                "previous_response_id": previous,
                "output": [{"id": f"out_{name}", "text": f"out {name} \u0000"}],
            }
            await store.save("a", body, [{"id": f"in_{name}", "text": f"in {name}"}], chain)
            chain = await store.chain("a", name)
        assert chain.ids == ("3", "2", "1")
        texts = [item["text"].split()[0] for item in chain.items]
        assert texts == ["in", "out"] * 3
        await store.delete("a", "3")

    asyncio.run(go())
