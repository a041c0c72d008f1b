"""Asking this process' own endpoints, without a network in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from enginehouse.api.call import PRIORITIES, Caller
from enginehouse.api.caller import REQUEST_ID_HEADER
from enginehouse.api.errors import error_body, status_of
from enginehouse.gateway.batches.lines import LineAnswer, LineCall
from enginehouse.gateway.samples.account import TENANT_HEADER
from starlette.types import ASGIApp, Receive, Scope, Send

from enginehouse.errors import EnginehouseError

Vouch = Callable[[Caller], Awaitable[Caller]]


async def _as_before(caller: Caller) -> Caller:
    return caller


class InProcessRunner:
    """A line as a request to the application itself, so that all its stages and routes take part.

    The caller and the priority are in the request's state, which nothing from outside can write:
    no key is needed, and none is kept.
    """

    def __init__(self, app: ASGIApp, *, vouch: Vouch = _as_before) -> None:
        """Make it.

        Args:
            vouch: whether the caller may still ask, and as what, when the line is run; raises if
                not. Else a batch goes on as the caller that they were when they made it.
        """
        self._app = app
        self._vouch = vouch

    async def __call__(self, call: LineCall) -> LineAnswer:
        """See `LineRunner`."""
        try:
            caller = await self._vouch(call.caller)
        except EnginehouseError as error:
            return LineAnswer(status_of(error)[0], error_body(error))
        # A batch is a tier of its own: a line does not choose another.
        body = {name: value for name, value in call.body.items() if name != "service_tier"}
        request = httpx.Request(
            "POST",
            f"http://batch{call.endpoint}",
            json=body,
            headers={REQUEST_ID_HEADER: call.request_id, TENANT_HEADER: caller.tenant},
        )
        # Without a client around it, which would have a timeout and a line in the log for each.
        transport = httpx.ASGITransport(self._marked(caller), raise_app_exceptions=False)
        response = await transport.handle_async_request(request)
        await response.aread()
        return LineAnswer(response.status_code, _body_of(response))

    def _marked(self, caller: Caller) -> ASGIApp:
        async def marked(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"caller": caller, "priority": PRIORITIES["low"]}
            await self._app(scope, receive, send)

        return marked


def _body_of(response: httpx.Response) -> dict[str, Any]:
    with suppress(ValueError):
        body = response.json()
        if isinstance(body, dict):
            return body
    # Only an error that nobody foresaw is no JSON.
    return {
        "error": {
            "message": "internal error; the adapter's log has the details",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
