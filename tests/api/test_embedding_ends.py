"""Each embedding request is counted once, however it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.revision import Served
from enginehouse.client import Target
from enginehouse.gateway.samples.ring import SampleRing
from fastapi import FastAPI

from enginehouse.errors import EngineUnavailableError
from enginehouse.settings import Settings
from tests.api.embedding_replica import FACTS, EmbeddingReplica
from tests.api.speaking import manifest_at
from tests.client.fakes import FakeFleet


async def _asked(app: FastAPI, replica: EmbeddingReplica) -> None:
    """One request, whose client goes when the engine is never done."""
    body = json.dumps({"model": "minilm", "input": "hello"}).encode()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> MutableMapping[str, Any]:
        found = next(messages, None)
        if found is not None:
            return found
        if not replica.hangs:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(_: MutableMapping[str, Any]) -> None:
        pass

    scope = {
        "type": "http", "method": "POST", "path": "/v1/embeddings", "raw_path": b"/v1/embeddings",
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": [(b"content-type", b"application/json")], "state": {},
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    try:
        await app(scope, receive, send)
    except ValueError:
        assert replica.ending is not None


@pytest.mark.parametrize(
    ("ending", "hangs", "code"),
    [
        (None, False, "200"),
        (None, True, "499"),
        (EngineUnavailableError("gone"), False, "503"),
        (ValueError("unforeseen"), False, "500"),
    ],
)
def test_a_request_is_counted_once_by_its_end(
    tmp_path: Path, ending: Exception | None, *, hangs: bool, code: str
) -> None:
    replica = EmbeddingReplica({"minilm": {1}}, embeddings=frozenset({"minilm"}))
    replica.ending, replica.hangs = ending, hangs
    manifest = manifest_at(tmp_path / "bundle").model_copy(update={"embedding": FACTS})

    def opened(name: str, version: int) -> Served:
        return Served(Target(name, version), manifest)

    app = create_app(
        Settings(home=tmp_path, fleet="host:1"),
        connect=FakeFleet([replica]).connect,
        open_version=opened,
    )

    async def scenario() -> None:
        async with app.router.lifespan_context(app):
            state = app.state.enginehouse
            await state.directory.champion("minilm")
            await _asked(app, replica)
            page = state.metrics.page().decode()
            samples = app.state.services.find(SampleRing).page(0, 10).samples
        assert [sample.code for sample in samples] == [code]
        counted = [line for line in page.splitlines() if line.startswith("enginehouse_requests_t")]
        assert len(counted) == 1
        assert f'code="{code}"' in counted[0]
        assert f'code="{code}"' in page.partition("enginehouse_requests_by_tenant_total{")[2]
        assert 'enginehouse_requests_in_flight{model="minilm"} 0.0' in page
        assert replica.cancelled == hangs

    asyncio.run(scenario())
