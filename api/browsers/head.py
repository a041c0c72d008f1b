"""`HEAD` wherever `GET` is, as RFC 9110 (9.1) asks of every general-purpose server."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What the router notes in the scope, for what stands outside of this.
_NOTED = ("route", "endpoint", "path_params")


class HeadAsGet:
    """ASGI middleware, the innermost: the routes see `GET`, and the body is dropped."""

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
