"""Pages of other origins: the Fetch standard's CORS protocol, off unless origins are set."""

from __future__ import annotations

from enginehouse.api.errors import VERSION_HEADER
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Response headers that a page may read beside those that the standard always shows.
_EXPOSED = (
    "x-request-id",
    VERSION_HEADER,
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
_PREFLIGHT_KEPT_S = 600


class Cors:
    """ASGI middleware, outside of the one that asks for keys.

    A browser sends no key with a preflight, so it is answered here. Credentials are allowed for
    origins that are named, never for ``*``: every page could otherwise use the browser's logins.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        """`origins`: ``scheme://host[:port]`` each, or ``*`` alone."""
        self._app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            allow_credentials="*" not in origins,
            expose_headers=_EXPOSED,
            max_age=_PREFLIGHT_KEPT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        await self._app(scope, receive, send)


def allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let pages of these origins call the application; without any nothing changes.

    Starlette answers an unexpected error outside of every middleware that is added to an
    application, so this one goes around the whole stack: a page can read a 500 too.
    """
    if not origins:
        return
    build = app.build_middleware_stack

    def around() -> ASGIApp:
        return Cors(build(), origins=origins)

    app.build_middleware_stack = around  # type: ignore[method-assign]
