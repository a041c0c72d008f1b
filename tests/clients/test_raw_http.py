"""What goes over the wire: server-sent events, headers, error bodies, metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import RunningStack

pytestmark = pytest.mark.whole_machine

_BODY: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 8,
}


@pytest.fixture
def http(served: RunningStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60.0, trust_env=False) as client:
        yield client


def _events(text: str) -> list[str]:
    """Data of each event; every one is a single line and ends with an empty one."""
    assert text.endswith("\n\n")
    blocks = text.removesuffix("\n\n").split("\n\n")
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [block.removeprefix("data: ") for block in blocks]


def test_a_stream_is_events_and_an_end(http: httpx.Client) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = http.post("/v1/chat/completions", json=_BODY | options)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-length" not in answer.headers
    *events, end = _events(answer.text)
    assert end == "[DONE]"
    bodies = [json.loads(one) for one in events]
    assert {body["object"] for body in bodies} == {"chat.completion.chunk"}
    assert len({(body["id"], body["created"], body["model"]) for body in bodies}) == 1
    assert bodies[0]["choices"][0]["delta"]["role"] == "assistant"
    assert bodies[-2]["choices"][0]["finish_reason"] in {"stop", "length"}
    assert bodies[-1]["choices"] == []
    assert bodies[-1]["usage"]["completion_tokens"] > 0
    assert all(body["usage"] is None for body in bodies[:-1])


def test_a_whole_answer_has_every_field_of_the_specification(http: httpx.Client) -> None:
    body = http.post("/v1/chat/completions", json=_BODY).json()
    assert body.keys() >= {"id", "object", "created", "model", "choices", "usage"}
    choice = body["choices"][0]
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] >= 0
    assert re.fullmatch(r"smollm2@1-[0-9a-f]{12}", body["system_fingerprint"])


def test_an_error_before_the_first_byte_is_no_stream(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=_BODY | {"stream": True, "model": "nobody"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/chat/completions", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/nobody", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/chat/completions", 405),
        ("GET", "/health/live", 200),
    ],
)
def test_every_response_says_the_requests_id(
    http: httpx.Client, method: str, path: str, status: int
) -> None:
    body = _BODY if method == "POST" else None
    mine = http.request(method, path, json=body, headers={"x-request-id": "mine-1"})
    assert (mine.status_code, mine.headers["x-request-id"]) == (status, "mine-1")
    ours = http.request(method, path, json=body, headers={"x-request-id": "break it\tnow"})
    assert ours.headers["x-request-id"] not in {"", "break it\tnow"}


def test_a_caller_who_waits_no_time_gets_504(http: httpx.Client) -> None:
    headers = {"x-request-timeout": "0.001"}
    answer = http.post("/v1/chat/completions", json=_BODY, headers=headers)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


def test_tokens_go_there_and_back(http: httpx.Client) -> None:
    asked = {"model": "smollm2", "prompt": "Hello, 東京!"}
    tokens = http.post("/tokenize", json=asked).json()
    assert tokens["count"] == len(tokens["tokens"])
    back = http.post("/detokenize", json={"model": "smollm2", "tokens": tokens["tokens"]})
    assert back.json()["prompt"] == "Hello, 東京!"


def test_metrics_count_what_was_answered(http: httpx.Client) -> None:
    def value(page: str, start: str) -> float:
        return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(start))

    names = (
        'enginehouse_requests_by_tenant_total{code="200",model="smollm2"',
        'enginehouse_tokens_by_tenant_total{kind="completion",model="smollm2"',
        "gen_ai_server_time_to_first_token_seconds_count{",
        'enginehouse_http_responses_total{code="200",method="POST",route="/v1/chat/completions"}',
        "enginehouse_build_info{",
    )
    http.post("/v1/chat/completions", json=_BODY)
    before = http.get("/metrics").text
    http.post("/v1/chat/completions", json=_BODY)
    after = http.get("/metrics").text
    grown = [value(after, name) - value(before, name) for name in names]
    assert grown[0] == 1
    assert grown[1] > 0
    assert grown[2] == grown[3] == 1
    assert value(after, names[4]) == 1


def test_a_trace_parent_is_taken_whatever_it_is(http: httpx.Client) -> None:
    for parent in ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "nonsense"):
        answer = http.post("/v1/chat/completions", json=_BODY, headers={"traceparent": parent})
        assert answer.status_code == 200
