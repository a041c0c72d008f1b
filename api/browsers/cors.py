"""CORS for web pages of other origins (Fetch standard); disabled unless origins are configured."""

from __future__ import annotations

from enginehouse.api.errors import VERSION_HEADER
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Response headers that a page may read, besides those that the standard always exposes.
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
    """ASGI middleware, outside of the authentication.

    Browsers send no key with a preflight request, so it is answered here. Credentials are allowed
    for named origins, never for ``*``: otherwise every page could use the browser's logins.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        """`origins`: each is ``scheme://host[:port]``, or ``*`` alone."""
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
    """Allow pages of these origins to call the application; an empty tuple changes nothing.

    Starlette answers unexpected errors outside of every middleware that is added to an application.
    This one is therefore put around the whole stack, so that a page can read a 500 too.
    """
    if not origins:
        return
    build = app.build_middleware_stack

    def around() -> ASGIApp:
        return Cors(build(), origins=origins)

    app.build_middleware_stack = around  # type: ignore[method-assign]
