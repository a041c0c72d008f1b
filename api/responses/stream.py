"""Events of a response on the wire: each under its type's name, and no `[DONE]` at the end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from enginehouse.api.streaming import until_disconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from enginehouse.errors import CancelledError


def sse(event: Mapping[str, Any]) -> bytes:
    """One server-sent event with its name."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


class ResponseStream(Response):
    """Server-sent events; what goes wrong in the middle is one of them."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(
            headers={**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end or the client goes."""
        async with contextlib.aclosing(self._events):
            with contextlib.suppress(CancelledError):
                await until_disconnect(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for chunk in self._events:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
