"""Answers `HEAD` on every route with `GET` (RFC 9110, 9.1)."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Entries that the router writes into the scope, for middleware outside of this one.
_NOTED = ("route", "endpoint", "path_params")


class HeadAsGet:
    """ASGI middleware, innermost: the routes see `GET`, and the body is dropped."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        inner = {**scope, "method": "GET", "extensions": {}}

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(inner, receive, without_body)
        finally:
            scope.update({name: inner[name] for name in _NOTED if name in inner})
