"""What is answered is what /openapi.json says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.api.speaking import Adapter, speaking

_TOOL = {"type": "function", "function": {"name": "f"}}
_SAID = 'Hm. <tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _check(adapter: Adapter, path: str, status: str, answer: Any) -> None:
    document = adapter.http.get("/openapi.json").json()
    response = document["paths"][path]["post"]["responses"][status]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.validate(answer, schema | {"components": document["components"]})


def _check_events(adapter: Adapter, path: str, chunks: list[Any]) -> None:
    document = adapter.http.get("/openapi.json").json()
    response = document["paths"][path]["post"]["responses"]["200"]
    schema = response["content"]["text/event-stream"]["schema"]["contentSchema"]
    for chunk in chunks:
        jsonschema.validate(chunk, schema)


@pytest.mark.parametrize("asked", [{}, {"tools": [_TOOL]}, {"logprobs": True},
                                   {"service_tier": "flex"}])  # fmt: skip
def test_chat(adapter: Adapter, asked: dict[str, Any]) -> None:
    path = "/v1/chat/completions"
    _check(adapter, path, "200", adapter.chat(_SAID, **asked))
    usage = {"include_usage": True}
    chunks = adapter.chat(_SAID, stream=True, stream_options=usage, **asked)
    _check_events(adapter, path, chunks)


@pytest.mark.parametrize("asked", [{}, {"logprobs": 0}, {"echo": True, "logprobs": 0}])
def test_completions(adapter: Adapter, asked: dict[str, Any]) -> None:
    path = "/v1/completions"
    _check(adapter, path, "200", adapter.complete(" a", prompt="x", **asked))
    _check_events(adapter, path, adapter.complete(" a", prompt="x", stream=True, **asked))


def test_tokens(adapter: Adapter) -> None:
    body = {"model": "smollm2", "prompt": "Hello"}
    found = adapter.http.post("/tokenize", json=body).json()
    _check(adapter, "/tokenize", "200", found)
    back = {"model": "smollm2", "tokens": found["tokens"]}
    _check(adapter, "/detokenize", "200", adapter.http.post("/detokenize", json=back).json())


def _posted(adapter: Adapter, path: str, *says: str, **body: Any) -> Any:
    adapter.replica.says.extend(says)
    answer = adapter.http.post(path, json={"model": "smollm2"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_responses(adapter: Adapter) -> None:
    path, tools = "/v1/responses", [{"type": "function", "name": "f"}]
    for asked in ({}, {"tools": tools}, {"truncation": "auto", "service_tier": "flex"}):
        _check(adapter, path, "200", _posted(adapter, path, _SAID, input="Hi", **asked))
    path = "/v1/responses/input_tokens"
    _check(adapter, path, "200", _posted(adapter, path, input="Hi"))


def test_messages(adapter: Adapter) -> None:
    path, told = "/v1/messages", {"messages": [{"role": "user", "content": "Hi"}]}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    for asked in ({}, {"tools": tools}, {"stop_sequences": ["m"]}):
        _check(adapter, path, "200", _posted(adapter, path, _SAID, max_tokens=50, **told, **asked))
    _check(adapter, path, "400", adapter.http.post(path, json={}).json())
    path = "/v1/messages/count_tokens"
    _check(adapter, path, "200", _posted(adapter, path, **told))


def test_errors(adapter: Adapter) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"):
        _check(adapter, path, "400", adapter.http.post(path, json={}).json())
        responses = adapter.http.get("/openapi.json").json()["paths"][path]["post"]["responses"]
        # The framework's own body for wrong fields is never sent.
        assert "422" not in responses
        assert {"401", "403", "404", "429", "500", "503", "504"} <= set(responses)


def test_a_wrong_answer_would_be_noticed(adapter: Adapter) -> None:
    whole = adapter.chat("Hi.")
    del whole["choices"][0]["message"]["refusal"]
    with pytest.raises(jsonschema.ValidationError):
        _check(adapter, "/v1/chat/completions", "200", whole)
