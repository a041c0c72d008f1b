"""Refusing bodies that are too large, before they are read."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """ASGI middleware: 413 past a limit, by the header or by counting."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] = {}) -> None:
        """`larger`: path → the limit of its bodies, where that is another."""
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._larger.get(scope["path"], self._max_bytes)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > most:
            await self._refuse(most, scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                return {"type": "http.disconnect"}
            return message

        # Wrappers of `send` are plain functions: as coroutines each would be a frame a token.
        def unless_too_large(message: Message) -> Awaitable[None]:
            # What the application says of a body that was cut here is not the reason.
            return send(message) if seen <= most else _unsent()

        await self._app(scope, counted, unless_too_large)
        if seen > most:
            await self._refuse(most, scope, receive, send)

    async def _refuse(self, most: int, scope: Scope, receive: Receive, send: Send) -> None:
        body = {
            "error": {
                "message": f"the body is larger than {most} bytes",
                "type": "invalid_request_error",
                "param": None,
                "code": "body_too_large",
            }
        }
        response = JSONResponse(body, status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        await response(scope, receive, send)


async def _unsent() -> None:
    """A message that is left out."""
