"""Counts HTTP responses, and optionally writes the access log."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable

from enginehouse.api.tracing.context import current_request
from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Records of this logger have `fields`, which JSON lines contain unchanged.
ACCESS_LOGGER = "enginehouse.access"
_log = logging.getLogger(ACCESS_LOGGER)
#: Label for paths without a route; callers can invent any number of them.
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_GONE = 499
_MILLISECONDS = 1000.0


class AccessLog:
    """ASGI middleware, inside of `RequestIds`.

    A line contains the route instead of the path. Of the caller's input it contains only the names
    of model and tenant.
    """

    def __init__(self, app: ASGIApp, *, lines: bool) -> None:
        """`lines` turns the access log on; responses are counted in any case."""
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        # A plain function: as a coroutine it would be a frame for each token.
        def noted(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        failed = True
        try:
            await self._app(scope, receive, noted)
            failed = False
        finally:
            # The outer handler answers an exception with 500. No status and no exception means that
            # the client disconnected (logged as 499).
            code = status or (500 if failed else _GONE)
            self._count(scope, code)
            if self._lines:
                _write(scope, code, time.perf_counter() - began)

    def _count(self, scope: Scope, code: int) -> None:
        counter = _counter(scope)
        if counter is not None:
            counter.labels(_method(scope), _route(scope), str(code)).inc()


def _write(scope: Scope, code: int, seconds: float) -> None:
    request = current_request()
    fields: dict[str, str | int | float | None] = {
        "method": _method(scope),
        "route": _route(scope),
        "status": code,
        "ms": round(seconds * _MILLISECONDS, 3),
        **({} if request is None else request.facts),
    }
    text = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    _log.info("%s", text, extra={"fields": fields})


def _counter(scope: Scope) -> Counter | None:
    """`CallMetrics.responses`; None before the application has started."""
    state = getattr(scope["app"].state, "call_metrics", None)
    counter: Counter | None = None if state is None else state.responses
    return counter


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or _NO_ROUTE


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
