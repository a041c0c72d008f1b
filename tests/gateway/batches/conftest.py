from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.caller import Caller
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore
from enginehouse.gateway.batches.lines import LineAnswer, LineCall
from enginehouse.gateway.batches.records import BatchStore
from enginehouse.gateway.batches.runner import BatchRunner
from enginehouse.gateway.batches.work import WorkStore
from enginehouse.gateway.database.database import Database

CHAT = "/v1/chat/completions"


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request_line(custom_id: str, /, **change: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": custom_id}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | change


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@dataclass
class Endpoint:
    """Answers lines.

    Attributes:
        scripts: custom id → statuses of the tries, 200 after the last one.
        asked: all that was asked.
        at: called before a line is answered.
    """

    scripts: dict[str, list[int]] = field(default_factory=dict)
    asked: list[LineCall] = field(default_factory=list)
    at: Callable[[LineCall], Awaitable[None]] | None = None
    busy: int = 0
    most_busy: int = 0

    async def __call__(self, call: LineCall) -> LineAnswer:
        self.asked.append(call)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            if self.at is not None:
                await self.at(call)
            await asyncio.sleep(0)
        finally:
            self.busy -= 1
        script = self.scripts.get(call.custom_id)
        status = script.pop(0) if script else 200
        usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
        return LineAnswer(status, {"said": call.custom_id, "usage": usage})

    @property
    def ids(self) -> list[str]:
        return [call.custom_id for call in self.asked]


async def at_once(stop: asyncio.Event, _: float) -> bool:
    """A pause that takes no time."""
    await asyncio.sleep(0)
    return stop.is_set()


@dataclass
class House:
    """Adapters on one database and one folder."""

    database: Database
    directory: Path
    clock: Clock
    config: BatchesConfig
    endpoint: Endpoint = field(default_factory=Endpoint)
    caller: Caller = field(default_factory=lambda: Caller(tenant="a"))

    @property
    def files(self) -> FileStore:
        return FileStore(self.database, self.directory, self.config, now=self.clock)

    @property
    def store(self) -> BatchStore:
        return BatchStore(self.database, self.files, self.config, now=self.clock)

    def runner(self) -> BatchRunner:
        """The runner of one more adapter."""
        work = WorkStore(self.database, self.files, self.config, now=self.clock)
        return BatchRunner(
            work, self.files, self.endpoint, self.config, now=self.clock, pause=at_once
        )

    async def batch(self, *lines: Any, raw: bytes | None = None) -> str:
        content = jsonl(*lines) if raw is None else raw
        file = await self.files.add("a", "in.jsonl", io.BytesIO(content))
        made = await self.store.create(
            self.caller, endpoint=CHAT, input_file_id=file.id, window="24h"
        )
        return str(made["id"])

    async def get(self, batch_id: str) -> dict[str, Any]:
        return await self.store.get("a", batch_id)

    async def run(self) -> None:
        """Have everything run that is there to be run."""
        runner = self.runner()
        while tasks := await runner.take():
            await asyncio.gather(*tasks)
        await runner.close()

    async def results(self, file_id: str | None) -> list[Any]:
        if file_id is None:
            return []
        file = await self.files.get("a", file_id)
        return [json.loads(line) for line in self.files.readable(file).read_text().splitlines()]

    def rows(self, table: str) -> Sequence[Any]:
        with self.database.begin() as connection:
            return connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    database = Database(f"sqlite:///{tmp_path / 'endpoint.db'}")
    yield House(database, tmp_path / "files", Clock(), BatchesConfig())
    database.close()
