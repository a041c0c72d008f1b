"""Bodies that are refused count as requests.

A call takes its place in the limits once its body is read and valid. Without this, a caller could
send bodies that are refused for ever, each of which costs its reading.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable
from http import HTTPStatus

from enginehouse.api.caller import Caller
from enginehouse.api.errors import error_response
from enginehouse.gateway.limits.answers import rate_limit_error
from enginehouse.gateway.limits.policy import wanted
from enginehouse.gateway.limits.stages import LimitEnforcer
from enginehouse.gateway.limits.store import LimitKind, LimitRefusal
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enginehouse.errors import EnginehouseError, RateLimitError

#: Statuses of a body that was refused.
_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_WITH_BODY = {"POST", "PUT", "PATCH"}
#: Operators' routes: their callers are no tenants.
_NOT_LIMITED = ("/admin", "/internal")
#: A response with it belongs to a call that has been counted.
_COUNTED = b"x-ratelimit-limit-requests"
#: Callers over their limit who are remembered; the oldest are forgotten first.
_MOST_REMEMBERED = 10_000


class RefusedBodies:
    """ASGI middleware, inside of the authentication and outside of the body limit.

    The application has a `LimitEnforcer` in ``app.state.limits``. A caller whose refused bodies
    have reached the limit gets 429 before a further body is read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._over: OrderedDict[tuple[str, str | None], float] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if not _limited(scope):
            await self._app(scope, receive, send)
            return
        caller: Caller = scope.get("state", {}).get("caller", Caller())
        limits: LimitEnforcer = scope["app"].state.limits
        left_s = self._over.get((caller.tenant, caller.key_id), 0.0) - time.monotonic()
        if left_s > 0:
            error = RateLimitError(
                "the limit of requests a minute is reached, refused bodies included: wait",
                retry_after_s=left_s,
            )
            await error_response(error)(scope, receive, send)
            return
        replaced = False

        async def counted(start: Message) -> None:
            nonlocal replaced
            try:
                await self._count(limits, caller)
            except EnginehouseError as error:
                replaced = True
                await error_response(error)(scope, receive, send)
            else:
                await send(start)

        # A plain function: as a coroutine it would be a frame for each token.
        def judged(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start" and _refused_uncounted(message):
                return counted(message)
            return _nothing() if replaced else send(message)

        await self._app(scope, receive, judged)

    async def _count(self, limits: LimitEnforcer, caller: Caller) -> None:
        """Take one request from the caller's limits.

        Raises:
            RateLimitError: if none is left.
            StoreError: if the store fails and `on_store_failure` is ``refuse``.
        """
        claim = wanted(uuid.uuid4().hex, limits.policy.rules(caller), {LimitKind.REQUESTS: 1})
        if not claim:
            return
        found = await limits.store.take(claim)
        if isinstance(found, LimitRefusal):
            limits.metrics.refused(caller.tenant, found.kind)
            who = (caller.tenant, caller.key_id)
            self._over[who] = time.monotonic() + found.retry_after_s
            self._over.move_to_end(who)
            if len(self._over) > _MOST_REMEMBERED:
                self._over.popitem(last=False)
            raise rate_limit_error(found)


def _limited(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in _WITH_BODY
        and not scope["path"].startswith(_NOT_LIMITED)
    )


def _refused_uncounted(start: Message) -> bool:
    names = {name for name, _ in start.get("headers", ())}
    return start["status"] in _REFUSED and _COUNTED not in names


async def _nothing() -> None:
    """A message that is left out."""
