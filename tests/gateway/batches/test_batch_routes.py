"""`/v1/files` and `/v1/batches` through the SDK; lines go through the application itself."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.call import PRIORITIES
from enginehouse.api.caller import TENANT_HEADER, Caller
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.streaming import until_disconnect
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.in_process import InProcessRunner
from enginehouse.gateway.batches.lines import LineCall
from enginehouse.gateway.batches.open import open_batches
from enginehouse.gateway.batches.routes import router
from enginehouse.gateway.database.database import Database
from fastapi import FastAPI
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI
from starlette.requests import Request
from starlette.testclient import TestClient

from enginehouse.errors import InvalidRequestError, UnauthenticatedError
from tests.conftest import wait_until
from tests.gateway.batches.conftest import CHAT, jsonl, request_line


def _app(tmp_path: Path, config: BatchesConfig) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(f"sqlite:///{tmp_path / 'endpoint.db'}")
        async with open_batches(
            database, tmp_path / "files", config, InProcessRunner(app)
        ) as batches:
            app.state.batches = batches
            yield
        database.close()

    app = FastAPI(lifespan=lifespan)
    install_error_handlers(app)
    app.include_router(router)

    @app.post(CHAT)
    async def chat(body: dict[str, Any], request: Request) -> dict[str, Any]:
        return await until_disconnect(request.receive, _chat(body, request))

    return app


async def _chat(body: dict[str, Any], request: Request) -> dict[str, Any]:
    match body["messages"][0]["content"]:
        case "refused":
            raise InvalidRequestError("no", field="messages")
        case "broken":
            raise RuntimeError("a secret in an exception")
        case _:
            return {
                "tenant": request.state.caller.tenant,
                "named": request.headers[TENANT_HEADER],
                "priority": request.state.priority,
                "request_id": request.headers["x-request-id"],
                "fields": sorted(body),
            }


@pytest.fixture
def http(tmp_path: Path) -> Iterator[TestClient]:
    config = BatchesConfig(max_file_bytes=100_000, poll_s=0.01)
    with TestClient(_app(tmp_path, config)) as client:
        yield client


@pytest.fixture
def client(http: TestClient) -> OpenAI:
    return OpenAI(api_key="none", base_url="http://testserver/v1", http_client=http, max_retries=0)


def _upload(client: OpenAI, *lines: Any) -> Any:
    return client.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")


def test_a_batch_is_uploaded_run_and_fetched(client: OpenAI) -> None:
    body = {"model": "m", "messages": [{"content": "Hi"}], "service_tier": "priority"}
    lines = [
        request_line("one", body=body),
        request_line("refused"),
        request_line("broken"),
    ]
    file = _upload(client, *lines)
    made = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"k": "v"}
    )
    assert made.metadata == {"k": "v"}
    wait_until(lambda: client.batches.retrieve(made.id).status == "completed", "the batch")
    found = client.batches.retrieve(made.id)
    assert found.output_file_id is not None
    assert found.error_file_id is not None
    (good,) = map(json.loads, client.files.content(found.output_file_id).text.splitlines())
    assert good["response"]["body"] == {
        "tenant": "default",
        "named": "default",
        "priority": PRIORITIES["low"],
        "request_id": good["response"]["request_id"],
        # A batch is a tier of its own.
        "fields": ["messages", "model"],
    }
    bad = [json.loads(line) for line in client.files.content(found.error_file_id).iter_lines()]
    assert [line["response"]["status_code"] for line in bad] == [400, 500]
    assert bad[0]["response"]["body"]["error"]["param"] == "messages"
    assert "secret" not in json.dumps(bad)
    assert [batch.id for batch in client.batches.list()] == [made.id]
    with pytest.raises(ConflictError):
        client.batches.cancel(made.id)


def test_files_are_listed_shown_and_deleted(client: OpenAI) -> None:
    file = client.files.create(
        file=("in\n.jsonl", b"{}\n"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == 3600
    assert file.bytes == 3
    assert [found.id for found in client.files.list()] == [file.id]
    assert client.files.retrieve(file.id).to_dict() == file.to_dict()
    assert client.files.content(file.id).read() == b"{}\n"
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(file.id)


def test_what_is_wrong_with_an_upload_is_named(http: TestClient) -> None:
    def refused(data: dict[str, Any], files: Any = None) -> Any:
        sent = files or {"file": ("a.jsonl", b"{}\n")}
        answer = http.post("/v1/files", data=data, files=sent)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]["param"]

    assert refused({}) == "purpose"
    assert refused({"purpose": "fine-tune"}) == "purpose"
    assert refused({"purpose": "batch", "other": "1"}) == "other"
    assert refused({"purpose": "batch"}, {"other": ("a", b"1")}) == "other"
    assert refused({"purpose": "batch"}, {"file": ("a", b"")}) == "file"
    assert refused({"purpose": "batch"}, {"file": ("a", b"1" * 100_001)}) == "file"
    for seconds in ("1", "x"):
        wrong = {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}
        assert refused({"purpose": "batch", **wrong}) == "expires_after[seconds]"
    half = {"purpose": "batch", "expires_after[anchor]": "created_at"}
    assert refused(half) == "expires_after[seconds]"
    assert http.post("/v1/files", json={"purpose": "batch"}).status_code == 415
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert http.post("/v1/files", content=b"oops", headers=broken).status_code == 400


def test_what_is_wrong_with_a_batch_is_named(client: OpenAI, http: TestClient) -> None:
    file = _upload(client, request_line("a"))

    def refused(**change: Any) -> Any:
        good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
        answer = http.post("/v1/batches", json=good | change)
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]["param"]

    assert refused(endpoint="/v1/images") == "endpoint"
    assert refused(completion_window="1h") == "completion_window"
    assert refused(input_file_id="file-0") == "input_file_id"
    assert refused(input_file_id="../x") == "input_file_id"
    assert refused(output_expires_after={"anchor": "created_at", "seconds": 1}) == (
        "output_expires_after.seconds"
    )
    assert refused(other=1) == "other"
    with pytest.raises(NotFoundError):
        client.batches.retrieve("batch_0")
    with pytest.raises(BadRequestError):
        client.batches.list(limit=0).data.clear()
    assert http.get("/v1/files/..%2Fendpoint.db/content").status_code in {400, 404}
    assert http.get("/v1/files/%00").status_code == 400


def test_a_caller_who_may_not_ask_any_more_has_their_lines_refused(tmp_path: Path) -> None:
    async def revoked(_: Caller) -> Caller:
        raise UnauthenticatedError("the key is revoked")

    async def go() -> Any:
        app = _app(tmp_path, BatchesConfig())
        call = LineCall(CHAT, {"messages": [{"content": "Hi"}]}, Caller("a", "k"), "c", "r")
        return await InProcessRunner(app, vouch=revoked)(call)

    answer = asyncio.run(go())
    assert (answer.status, answer.body["error"]["code"]) == (401, "invalid_api_key")


def test_nothing_of_a_batch_is_in_the_log(client: OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"model": "m", "messages": [{"content": "very private"}]}
    file = _upload(client, request_line("private id", body=body))
    made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    wait_until(lambda: client.batches.retrieve(made.id).status == "completed", "the batch")
    # The client is not ours: it tells what it sends.
    ours = [r for r in caplog.records if r.name.split(".")[0] not in {"openai", "httpx2"}]
    assert len(ours) < len(caplog.records)
    assert not [record for record in ours if "private" in record.getMessage()]


def test_the_openapi_document_describes_the_form(http: TestClient) -> None:
    found = http.get("/openapi.json").json()["paths"]
    form = found["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file", "purpose"]
    assert "409" in found["/v1/batches/{batch_id}/cancel"]["post"]["responses"]
    content = found["/v1/files/{file_id}/content"]["get"]["responses"]["200"]["content"]
    assert "application/octet-stream" in content
