from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.api.body_limit import BodyLimit
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.tracing.access_log import ACCESS_LOGGER, AccessLog
from enginehouse.api.tracing.context import current_request
from enginehouse.api.tracing.logs import configure_logs
from enginehouse.api.tracing.request_ids import RequestIds
from enginehouse.gateway.tracing.call_metrics import CallMetrics
from fastapi import APIRouter, FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from enginehouse.errors import NotFoundError
from enginehouse.telemetry import LogFormat

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_TRACEPARENT = f"00-{_TRACE}-00f067aa0ba902b7-01"
_SECRET = "a-secret-word-of-the-caller"
router = APIRouter()


@router.get("/items/{name}")
async def item(name: str, request: Request) -> dict[str, str]:
    known = current_request()
    assert known is not None
    known.facts |= {"tenant": "acme", "model": "m", "completion_tokens": 4}
    logging.getLogger("tests.items").warning("looked at")
    return {"id": known.request_id, "state": request.state.request_id}


@router.get("/own")
async def own() -> Response:
    return JSONResponse({}, headers={"X-Request-Id": "its-own"})


@router.get("/stream")
async def stream() -> Response:
    async def parts() -> Any:
        yield b"a"
        logging.getLogger("tests.stream").warning("between")
        yield b"b"

    return StreamingResponse(parts())


@router.get("/missing")
async def missing() -> None:
    raise NotFoundError("no such thing")


@router.get("/broken")
async def broken() -> None:
    raise ValueError(_SECRET)


class Site:
    """An application with the middlewares, its log and its metrics."""

    def __init__(self, log_format: LogFormat = LogFormat.JSON, *, lines: bool = True) -> None:
        self.log = io.StringIO()
        configure_logs(log_format, self.log)
        self.registry = CollectorRegistry()
        app = FastAPI()
        app.state.call_metrics = CallMetrics(self.registry)
        app.add_middleware(BodyLimit, max_bytes=10)
        app.add_middleware(AccessLog, lines=lines)
        app.add_middleware(RequestIds)
        install_error_handlers(app)
        app.include_router(router)
        self.http = TestClient(app, raise_server_exceptions=False)

    def records(self, logger: str = ACCESS_LOGGER) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["logger"] == logger]

    def responses(self, route: str, code: str, method: str = "GET") -> float | None:
        labels = {"method": method, "route": route, "code": code}
        return self.registry.get_sample_value("enginehouse_http_responses_total", labels)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, access = logging.getLogger(), logging.getLogger(ACCESS_LOGGER)
    before = (root.handlers, root.level, access.level)
    yield
    root.handlers = before[0]
    root.setLevel(before[1])
    access.setLevel(before[2])


def test_the_callers_id_is_known_inside_and_repeated() -> None:
    answer = Site().http.get("/items/a", headers={"x-request-id": "mine-1"})
    assert answer.json() == {"id": "mine-1", "state": "mine-1"}
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("given", [None, "", "with blank", "x" * 129, 'quote"d', "é"])
def test_an_id_that_could_break_a_line_is_replaced(given: str | None) -> None:
    headers = {} if given is None else {"x-request-id": given.encode("latin-1")}
    answer = Site().http.get("/items/a", headers=headers)
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.json()["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/missing", 404), ("GET", "/nowhere", 404), ("POST", "/items/a", 405)],
)
def test_errors_of_routes_carry_the_id_too(method: str, path: str, status: int) -> None:
    answer = Site().http.request(method, path, headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine-1")


def test_a_body_that_is_too_large_has_an_id_and_a_line() -> None:
    site = Site()
    answer = site.http.post("/items/a", content=b"x" * 11, headers={"x-request-id": "mine-1"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (413, "mine-1")
    assert [(r["request_id"], r["status"]) for r in site.records()] == [("mine-1", 413)]


def test_an_id_that_the_response_has_is_left() -> None:
    answer = Site().http.get("/own")
    assert answer.headers.get_list("x-request-id") == ["its-own"]


def test_a_line_says_what_became_of_a_request_and_not_what_was_asked() -> None:
    site = Site()
    headers = {"x-request-id": "mine-1", "traceparent": _TRACEPARENT}
    site.http.get(f"/items/{_SECRET}?q={_SECRET}", headers=headers)
    (line,) = site.records()
    assert line.pop("ms") >= 0
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": ACCESS_LOGGER,
        "message": "request",
        "request_id": "mine-1",
        "trace_id": _TRACE,
        "method": "GET",
        "route": "/items/{name}",
        "status": 200,
        "tenant": "acme",
        "model": "m",
        "completion_tokens": 4,
    }
    assert _SECRET not in site.log.getvalue()


def test_other_log_lines_name_the_request_also_while_it_streams() -> None:
    site = Site()
    site.http.get("/items/a", headers={"x-request-id": "mine-1"})
    site.http.get("/stream", headers={"x-request-id": "mine-2"})
    assert site.records("tests.items")[0]["request_id"] == "mine-1"
    assert site.records("tests.stream")[0]["request_id"] == "mine-2"


def test_lines_are_written_only_if_wanted_and_responses_counted_always() -> None:
    site = Site(lines=False)
    for path in ("/items/a", "/items/b", "/nowhere", "/elsewhere", "/broken"):
        site.http.get(path)
    assert site.records() == []
    assert site.responses("/items/{name}", "200") == 2
    assert site.responses("none", "404") == 2
    assert site.responses("/broken", "500") == 1


def test_an_unknown_method_makes_no_label() -> None:
    site = Site()
    site.http.request("BREW", "/items/a")
    assert site.responses("/items/{name}", "405", "other") == 1


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_an_unexpected_errors_words_are_not_logged_but_its_kind_and_place(
    log_format: LogFormat,
) -> None:
    site = Site(log_format)
    assert site.http.get("/broken", headers={"x-request-id": "mine-1"}).status_code == 500
    text = site.log.getvalue()
    assert "builtins.ValueError" in text
    assert "in broken" in text
    assert _SECRET not in text


def test_lines_for_readers_name_the_request() -> None:
    site = Site(LogFormat.TEXT)
    site.http.get("/items/a", headers={"x-request-id": "mine-1"})
    first, second = site.log.getvalue().splitlines()
    assert first.endswith(" WARNING tests.items request_id=mine-1: looked at")
    assert " INFO enginehouse.access request_id=mine-1: method=GET route=/items/{name}" in second
