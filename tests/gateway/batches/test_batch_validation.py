"""Which files are batches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.validation import LineChecker

from tests.gateway.batches.conftest import CHAT, jsonl, request_line


def _checked(raw: bytes, **config: Any) -> tuple[LineChecker, list[str]]:
    checker = LineChecker(CHAT, BatchesConfig(**config))
    return checker, [line.custom_id for line in checker.lines(raw.splitlines(keepends=True))]


def test_requests_keep_their_order_and_empty_lines_do_not_count() -> None:
    checker, ids = _checked(jsonl(request_line("a")) + b"\n  \n" + jsonl(request_line("b")))
    assert (ids, checker.count, checker.errors) == (["a", "b"], 2, [])
    assert checker.model == "m"


def test_a_batch_of_several_models_has_none_of_its_own() -> None:
    other = {"model": "n", "messages": []}
    checker, ids = _checked(jsonl(request_line("a"), request_line("b", body=other)))
    assert (ids, checker.model) == (["a", "b"], None)


@pytest.mark.parametrize(
    ("line", "param", "code"),
    [
        (request_line("x", custom_id=7), "custom_id", "invalid_value"),
        (request_line("x", custom_id="a\u0000"), "custom_id", "invalid_value"),
        (request_line("first"), "custom_id", "duplicate_custom_id"),
        (request_line("x", method="GET"), "method", "invalid_method"),
        (request_line("x", url="/v1/embeddings"), "url", "invalid_url"),
        (request_line("x", body=[]), "body", "invalid_value"),
        (request_line("x", body={}), "body.model", "missing_required_parameter"),
        (request_line("x", body={"model": "m", "stream": True}), "body.stream", "invalid_value"),
        (request_line("x", extra=1), "extra", "unknown_parameter"),
        ([], None, "invalid_json_line"),
    ],
)
def test_a_wrong_line_is_named(line: Any, param: str | None, code: str) -> None:
    checker, _ = _checked(jsonl(request_line("first"), line, request_line("last")))
    (error,) = checker.errors
    assert (error["line"], error["param"], error["code"]) == (2, param, code)


def test_lines_are_read_as_bodies_are() -> None:
    odd = "\u2028\x85"
    raw = [
        jsonl(request_line("a", body={"model": "m", "x": "CUT"})).replace(b"CUT", rb"\ud83d"),
        json.dumps(request_line("b", body={"model": "m", "x": odd}), ensure_ascii=False).encode()
        + b"\r\n",
    ]
    checker = LineChecker(CHAT, BatchesConfig())
    bodies = [json.loads(line.body)["x"] for line in checker.lines(raw)]
    assert (bodies, checker.errors) == (["\ufffd", odd], [])
    far = jsonl(request_line("a", body={"model": "m", "n": 0})).replace(b'"n": 0', b'"n": 1e999')
    (error,) = _checked(far)[0].errors
    assert (error["param"], error["code"]) == ("body.n", "invalid_value")


def test_what_is_no_json_too_long_too_many_or_nothing_is_refused() -> None:
    def codes(raw: bytes, **config: Any) -> list[str]:
        return [error["code"] for error in _checked(raw, **config)[0].errors]

    assert codes(b"{oops\n") == ["invalid_json_line"]
    assert codes(b"\xff\xfe\n") == ["invalid_json_line"]
    assert codes(jsonl(request_line("a")), max_line_bytes=10) == ["line_too_large"]
    three = jsonl(*(request_line(name) for name in "abc"))
    assert codes(three, max_lines=2) == ["too_many_requests"]
    assert codes(b"\n\n") == ["empty_file"]


def test_no_more_than_a_hundred_errors_are_told() -> None:
    checker, ids = _checked(b"oops\n" * 500)
    assert (len(checker.errors), ids) == (100, [])
