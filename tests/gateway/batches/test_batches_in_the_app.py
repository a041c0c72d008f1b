"""Responses and batches in the whole application, in front of a replica that is a callable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.call import PRIORITIES
from openai import OpenAI
from openai.types.responses import Response
from starlette.testclient import TestClient

from enginehouse.errors import InvalidRequestError, QueueFullError
from enginehouse.settings import ApiSettings, Settings
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, FakeReplica, Fault, generator
from tests.conftest import wait_until
from tests.gateway.batches.conftest import CHAT, jsonl

_RESPONSES = "/v1/responses"


@pytest.fixture
def replica() -> FakeReplica:
    return generator(1)


@pytest.fixture
def client(tmp_path: Path, replica: FakeReplica, make_revision: MakeRevision) -> Iterator[OpenAI]:
    settings = Settings(home=tmp_path, fleet="host:1", api=ApiSettings(samples_kept=20))
    connect = FakeFleet([replica]).connect
    app = create_app(settings, connect=connect, open_version=make_revision)
    with TestClient(app) as http:
        wait_until(lambda: bool(http.get("/v1/models").json()["data"]), "the model")
        yield OpenAI(
            api_key="none", base_url="http://testserver/v1", http_client=http, max_retries=0
        )


def _line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": {"model": "smollm2", **body},
    }


def _run(client: OpenAI, url: Any, *lines: Any) -> tuple[Any, list[Any], list[Any]]:
    file = client.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    wait_until(lambda: client.batches.retrieve(made.id).status == "completed", "the batch")
    found = client.batches.retrieve(made.id)

    def read(file_id: str | None) -> list[Any]:
        if file_id is None:
            return []
        return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]

    return found, read(found.output_file_id), read(found.error_file_id)


def test_a_response_is_streamed_and_continued(client: OpenAI) -> None:
    with client.responses.stream(
        model="smollm2", input="Hi", max_output_tokens=4, temperature=0
    ) as stream:
        events = list(stream)
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 4
    more = client.responses.create(
        model="smollm2",
        input="More",
        previous_response_id=last.response.id,
        max_output_tokens=4,
        include=["message.output_text.logprobs"],
    )
    assert more.usage is not None
    assert more.usage.input_tokens > last.response.usage.input_tokens
    (message,) = more.output
    assert message.type == "message"
    assert message.content[0].type == "output_text"
    assert len(message.content[0].logprobs or []) == 4


def test_a_batch_of_chats_goes_to_the_engine_at_low_priority(
    client: OpenAI, replica: FakeReplica
) -> None:
    said = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    replica.faults.extend([Fault(0, QueueFullError("full"))])
    found, good, bad = _run(
        client,
        CHAT,
        _line("a", CHAT, **said),
        _line("b", CHAT, **said, service_tier="priority"),
        _line("c", CHAT, **said, nonsense=1),
    )
    assert [line["custom_id"] for line in good] == ["a", "b"]
    assert good[0]["response"]["body"]["usage"]["completion_tokens"] == 3
    assert bad[0]["response"]["body"]["error"]["param"] == "nonsense"
    assert {request.priority for _, request in replica.asked} == {PRIORITIES["low"]}
    assert found.usage is not None
    assert found.usage.output_tokens == 6


def test_a_batch_of_responses_stores_them(client: OpenAI) -> None:
    line = _line("a", _RESPONSES, input="Hi", max_output_tokens=3)
    _, (good,), _ = _run(client, _RESPONSES, line)
    body = Response.model_validate(good["response"]["body"])
    assert client.responses.retrieve(body.id).output_text == body.output_text


def test_names_in_errors_of_the_engine_are_those_of_the_responses_api(client: OpenAI) -> None:
    answer: Any = client._client.post(
        _RESPONSES, json={"model": "smollm2", "input": "Hi", "max_output_tokens": 10_000_000}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "max_output_tokens"


def test_a_stream_that_breaks_ends_with_a_failed_response(
    client: OpenAI, replica: FakeReplica
) -> None:
    replica.faults.append(Fault(2, InvalidRequestError("odd")))
    events = list(
        client.responses.create(model="smollm2", input="Hi", max_output_tokens=9, stream=True)
    )
    assert events[-1].type == "response.failed"
    assert client.responses.retrieve(events[-1].response.id).status == "failed"
