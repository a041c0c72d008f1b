"""Assigns an id to every request and returns it in a header."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable

from enginehouse.api.tracing.context import RequestContext, set_request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enginehouse.telemetry import TraceParent

_HEADER = b"x-request-id"
_TRACEPARENT = b"traceparent"
# An id with other characters could break a log line or a header, so it is replaced.
_SAFE = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class RequestIds:
    """ASGI middleware, outermost.

    Sets `scope["state"]["request_id"]`, the log context and the header.

    A valid `x-request-id` of the caller is kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(_HEADER, b"")
        request_id = given.decode("ascii") if _SAFE.fullmatch(given) else uuid.uuid4().hex
        trace = TraceParent.parse(headers.get(_TRACEPARENT, b"").decode("latin-1"))
        trace_id = None if trace is None else f"{trace.trace_id:032x}"
        scope.setdefault("state", {})["request_id"] = request_id

        # A plain function: as a coroutine it would be a frame for each token.
        def with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                sent = list(message.get("headers", ()))
                if not any(name.lower() == _HEADER for name, _ in sent):
                    message = {**message, "headers": [*sent, (_HEADER, request_id.encode())]}
            return send(message)

        before = set_request(RequestContext(request_id, trace_id))
        try:
            await self._app(scope, receive, with_id)
        finally:
            set_request(before)
