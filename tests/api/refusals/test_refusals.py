"""What the sender of a wrong body is told: the field, and the reason that fits what was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.api.json_route import JsonRoute

from enginehouse.requests.body_shape import MOST_CONTAINERS, MOST_ITEMS, check_shape
from enginehouse.requests.json_text import OFF_LOOP_BYTES
from tests.api.speaking import Adapter, speaking

_HI = [{"role": "user", "content": "Hi"}]
_LONG = "secret " * 1000
_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _chat(**fields: Any) -> tuple[str, Any]:
    return "/v1/chat/completions", {"model": "smollm2", "messages": _HI} | fields


def _messages(*messages: Any) -> tuple[str, Any]:
    return _chat(messages=list(messages))


def _complete(**fields: Any) -> tuple[str, Any]:
    return "/v1/completions", {"model": "smollm2"} | fields


def _embed(**fields: Any) -> tuple[str, Any]:
    return "/v1/embeddings", {"model": "smollm2"} | fields


def _respond(**fields: Any) -> tuple[str, Any]:
    return "/v1/responses", {"model": "smollm2"} | fields


def _format(value: Any) -> tuple[str, Any]:
    return _chat(response_format=value)


_ONE_OF = "expected one of a string or an array, but got"
#: Path and body → the field, OpenAI's code, and words of the sentence.
_TABLE: list[tuple[tuple[str, Any], str | None, str, str]] = [
    # The body as a whole.
    (("/v1/chat/completions", []), None, "invalid_type", "expected an object, but got an array"),
    (("/v1/chat/completions", "x"), None, "invalid_type", "expected an object, but got a string"),
    (("/v1/chat/completions", None), None, "missing_required_parameter", "The body is missing"),
    (("/v1/chat/completions", {"messages": _HI}), "model", "missing_required_parameter", "'model'"),
    (_chat(foo=1), "foo", "unknown_parameter", "Unknown parameter: 'foo'"),
    (_chat(model=5), "model", "invalid_type", "expected a string, but got an integer"),
    # Messages, which are a union of kinds of content.
    (_chat(messages="Hi"), "messages", "invalid_type", "expected an array, but got a string"),
    (_chat(messages=[]), "messages", "empty_array", "empty array"),
    (_messages("Hi"), "messages[0]", "invalid_type", "expected an object, but got a string"),
    (_messages({"content": "x"}), "messages[0].role", "missing_required_parameter", "Missing"),
    (_messages({"role": "king"}), "messages[0].role", "invalid_value", "'king'. Supported values"),
    (_messages({"role": "user", "content": 5}), "messages[0].content", "invalid_type", _ONE_OF),
    (
        _messages({"role": "user", "content": [{"type": "text", "text": 7}]}),
        "messages[0].content[0].text",
        "invalid_type",
        "expected a string, but got an integer",
    ),
    (
        _messages({"role": "user", "content": ["a"]}),
        "messages[0].content[0]",
        "invalid_type",
        "expected an object, but got a string",
    ),
    (
        _messages({"role": "tool", "content": "x"}),
        "messages[0].tool_call_id",
        "invalid_value",
        "messages of role 'tool', and only they",
    ),
    (
        _messages({"role": "user", "content": "x", "tool_calls": [_CALL]}),
        "messages[0].tool_calls",
        "invalid_value",
        "only messages of role 'assistant'",
    ),
    (
        _messages({"role": "assistant", "tool_calls": [{"id": "1", "type": "function"}]}),
        "messages[0].tool_calls[0].function",
        "missing_required_parameter",
        "Missing",
    ),
    # Numbers, words and lists.
    (_chat(temperature=3), "temperature", "decimal_above_max_value", "<= 2, but got 3 instead"),
    (_chat(temperature="hot"), "temperature", "invalid_type", "got a string, 'hot',"),
    (_chat(temperature=[1]), "temperature", "invalid_type", "expected a number, but got an array"),
    (_chat(top_k=-7), "top_k", "integer_below_min_value", "got -7 instead"),
    (_chat(max_tokens=1.5), "max_tokens", "invalid_type", "expected an integer, but got a decimal"),
    (_chat(stream="maybe"), "stream", "invalid_type", "expected a boolean"),
    (_chat(stop=5), "stop", "invalid_type", f"{_ONE_OF} an integer"),
    (_chat(stop=["a", 5]), "stop[1]", "invalid_type", "expected a string, but got an integer"),
    (_chat(stop=[""]), "stop", "invalid_value", "must not be empty"),
    (_chat(n=17), "n", "integer_above_max_value", "<= 16, but got 17"),
    (_chat(service_tier="gold"), "service_tier", "invalid_value", "'gold'. Supported values are"),
    (_chat(reasoning_effort="huge"), "reasoning_effort", "invalid_value", "Supported values are"),
    (_chat(logit_bias=[1]), "logit_bias", "invalid_type", "expected an object, but got an array"),
    (_chat(logit_bias={"5": "x"}), "logit_bias.5", "invalid_type", "expected a number"),
    (_chat(user=_LONG, n="x"), "n", "invalid_type", "expected an integer"),
    # Fields that do not go together.
    (_chat(stream_options={}), "stream_options", "invalid_value", "stream: true"),
    (_complete(prompt="x", best_of=1, n=2), "best_of", "invalid_value", "it is 1, less than n"),
    (_complete(prompt="x", best_of=4, stream=True), "best_of", "invalid_value", "streamed"),
    (_complete(prompt=["x"] * 64, n=16), "prompt", "invalid_value", "1024 answers"),
    # Objects with a kind.
    (_format("json"), "response_format", "invalid_type", "expected an object, but got a string"),
    (_format({}), "response_format.type", "missing_required_parameter", "Missing"),
    (_format({"type": "xml"}), "response_format.type", "invalid_value", "'xml'. Supported values"),
    (
        _format({"type": "json_schema"}),
        "response_format.json_schema",
        "missing_required_parameter",
        "Missing",
    ),
    (
        _format({"type": "json_schema", "json_schema": {"name": "a"}}),
        "response_format.json_schema.schema",
        "missing_required_parameter",
        "Missing",
    ),
    (_chat(tools="x"), "tools", "invalid_type", "expected an array"),
    (_chat(tools=[{}]), "tools[0].type", "missing_required_parameter", "Missing"),
    (
        _chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
        "tools[0].function.name",
        "invalid_value",
        "does not match pattern",
    ),
    (_chat(tool_choice="maybe"), "tool_choice", "invalid_value", "'maybe'. Supported values are"),
    (_chat(tool_choice=5), "tool_choice", "invalid_type", "or an object, but got an integer"),
    (
        _chat(tool_choice={"type": "function"}),
        "tool_choice.function",
        "invalid_value",
        "it has to be given",
    ),
    (_chat(metadata={"a": 1}), "metadata.a", "invalid_type", "expected a string"),
    (_chat(metadata={"str": 1}), "metadata.str", "invalid_type", "expected a string"),
    (_chat(metadata={"a": _LONG}), "metadata.a", "string_above_max_length", "length 7000"),
    (
        _chat(metadata={str(i): "x" for i in range(17)}),
        "metadata",
        "object_above_max_properties",
        "17 properties",
    ),
    # Prompts, a union of four.
    (_complete(), "prompt", "missing_required_parameter", "Missing"),
    (_complete(prompt=5), "prompt", "invalid_type", f"{_ONE_OF} an integer"),
    (_complete(prompt={}), "prompt", "invalid_type", f"{_ONE_OF} an object"),
    (_complete(prompt=""), "prompt", "invalid_value", "the prompt is empty"),
    (_complete(prompt=[1, "a"]), "prompt[1]", "invalid_type", "expected an integer, but got a str"),
    (_complete(prompt=["a", 1]), "prompt[1]", "invalid_type", "expected a string, but got an int"),
    (_complete(prompt=[[1], ["a"]]), "prompt[1][0]", "invalid_type", "expected an integer"),
    (_complete(prompt=[-1]), "prompt[0]", "integer_below_min_value", ">= 0, but got -1"),
    (_complete(prompt=[1.5]), "prompt[0]", "invalid_type", "a string, an integer or an array"),
    (_complete(prompt=[[]]), "prompt[0]", "empty_array", "empty array"),
    # Other routes.
    (_embed(input=5), "input", "invalid_type", f"{_ONE_OF} an integer"),
    (_embed(input=["a", 5]), "input[1]", "invalid_type", "expected a string"),
    (_embed(input="x", encoding_format="hex"), "encoding_format", "invalid_value", "'hex'"),
    (_embed(input="x", dimensions=0), "dimensions", "integer_below_min_value", "got 0 instead"),
    (_respond(input=[{"role": "user"}]), "input[0].content", "missing_required_parameter", "Miss"),
    (
        _respond(input="x", text={"format": {"type": "xml"}}),
        "text.format.type",
        "invalid_value",
        "'",
    ),
    (_respond(input="x", temperature=9), "temperature", "decimal_above_max_value", "<= 2"),
    (_respond(input="x", stream_options={}), "stream_options", "invalid_value", "stream: true"),
    (
        _respond(input="x", tool_choice={"type": "function", "name": "f"}),
        "tool_choice",
        "invalid_value",
        "it names 'f'",
    ),
    (("/tokenize", {"model": "smollm2"}), "prompt", "invalid_value", "give a prompt or messages"),
    (("/detokenize", {"model": "m", "tokens": ["x"]}), "tokens[0]", "invalid_type", "an integer"),
    (("/v1/feedback", {"response_id": "x"}), "thumbs", "invalid_value", "give at least one of"),
    (
        ("/v1/feedback", {"response_id": "x", "score": 2}),
        "score",
        "decimal_above_max_value",
        "<= 1",
    ),
    (("/v1/batches", {}), "input_file_id", "missing_required_parameter", "Missing"),
]


@pytest.mark.parametrize(
    ("asked", "param", "code", "words"),
    _TABLE,
    ids=[f"{path} {json.dumps(body)[:60]}" for (path, body), *_ in _TABLE],
)
def test_a_refusal_names_the_field_and_fits_what_was_sent(
    adapter: Adapter, asked: tuple[str, Any], param: str | None, code: str, words: str
) -> None:
    path, body = asked
    answer = adapter.http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    message = error["message"]
    assert words in message
    assert param is None or param in message
    assert "Value error" not in message
    assert "secret secret" not in message
    assert not message.startswith("None")
    assert len(message) < 600


@pytest.mark.parametrize(
    ("path", "param", "words"),
    [
        ("/v1/files?limit=0", "limit", ">= 1, but got '0'"),
        ("/v1/files?limit=x", "limit", "expected an integer"),
        ("/v1/files?limit=99999999999999999999999", "limit", "<= 10000"),
        ("/v1/responses/x/input_items?order=up", "order", "'up'. Supported values are"),
    ],
)
def test_a_wrong_query_is_named(adapter: Adapter, path: str, param: str, words: str) -> None:
    answer = adapter.http.get(path)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        _chat(**{_LONG: 1}),
        _chat(metadata={_LONG: 1}),
        _chat(logit_bias={"9" * 400: 1}),
        _chat(service_tier=_LONG),
        _chat(stop=[{_LONG: _LONG}]),
        _chat(tool_choice={"type": _LONG}),
        _messages({"role": _LONG}),
        _messages({"role": "user", "content": [{"type": _LONG}]}),
        _complete(prompt=[_LONG, 1]),
        _respond(input=[{"type": _LONG}]),
        _respond(input="x", previous_response_id=_LONG),
    ],
)
def test_little_is_told_back(adapter: Adapter, body: tuple[str, Any]) -> None:
    answer = adapter.http.post(body[0], json=body[1])
    assert answer.status_code == 400
    assert len(answer.text) < 1200
    assert answer.json()["error"]["message"].count("secret") < 60


@pytest.mark.parametrize(
    ("items", "many", "param"),
    [
        ([1.5], 200_000, "prompt[0]"),
        (["x", 1], 200_000, "prompt"),
        (["x", 1], MOST_ITEMS, "prompt[1]"),
        ([None], 200_000, "prompt"),
        ([None], MOST_ITEMS, "prompt[0]"),
    ],
)
def test_many_wrong_items_cost_no_more_than_one(
    adapter: Adapter, items: list[Any], many: int, param: str
) -> None:
    """An error for each item and each member of the union would be 600,000 here."""
    prompt = items * (many // len(items))
    answer = adapter.http.post("/v1/completions", json={"model": "smollm2", "prompt": prompt})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


_MESSAGES = [{"role": "user", "content": "Hi"}]
_MANY: dict[str, Any] = {
    "objects": [{}] * 30_000,
    "lists": [[]] * 30_000,
    "texts": ["a"] * 20_000,
    "fields": {f"a{number}": 0 for number in range(10_000)},
}
_PLACES: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/chat/completions", {"messages": _MESSAGES}, field)
    for field in ("messages", "stop", "tools", "logit_bias", "metadata", "response_format",
                  "stop_token_ids", "chat_template_kwargs", "modalities", "no_such_field")
] + [
    ("/v1/completions", {"prompt": "a"}, "prompt"),
    ("/v1/embeddings", {}, "input"),
    ("/v1/responses", {}, "input"),
    ("/v1/messages", {"max_tokens": 1}, "messages"),
    ("/tokenize", {}, "prompt"),
]  # fmt: skip


@pytest.mark.parametrize("kind", _MANY)
@pytest.mark.parametrize(("path", "fields", "field"), _PLACES)
def test_too_many_values_are_refused_before_any_schema(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, path: str, fields: Any, field: str, kind: str
) -> None:
    """One bound for every field, known or not: no model of pydantic may see such a body."""
    seen: list[Any] = []
    monkeypatch.setattr(JsonRoute, "_validated", lambda _, value: seen.append(value))
    body = {"model": "smollm2", **fields, field: _MANY[kind]}
    answer = adapter.http.post(path, json=body, headers={"anthropic-version": "2023-06-01"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.get("param", field) == field
    assert field in error["message"]
    assert str(len(_MANY[kind])) in error["message"]
    assert not seen


def test_a_tree_of_small_objects_is_bounded_as_a_whole(adapter: Adapter) -> None:
    many = [[{"a": {}}] * 100] * 200
    answer = adapter.http.post("/v1/chat/completions", json={"model": "m", "messages": many})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages"
    assert str(MOST_CONTAINERS) in answer.json()["error"]["message"]


def test_a_large_body_is_validated_in_a_thread(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    validated = JsonRoute._validated

    def noted(route: JsonRoute, value: Any) -> Any:
        threads.append(threading.current_thread().name.startswith("asyncio"))
        return validated(route, value)

    monkeypatch.setattr(JsonRoute, "_validated", noted)
    for size in (10, 2 * OFF_LOOP_BYTES):
        body = {"model": "no-such", "messages": [{"role": "user", "content": "a" * size}]}
        answer = adapter.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 404
    assert threads == [True]


def test_what_clients_send_is_within_the_bounds() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "a"}] * 2}
    check_shape({"prompt": [1] * 500_000})
    check_shape({"input": ["a"] * 2048})
    check_shape({"input": [[1, 2, 3]] * 2048})
    check_shape({"messages": [message] * 4096})
    check_shape({"schema": {"properties": {str(n): {"type": "string"} for n in range(1000)}}})
