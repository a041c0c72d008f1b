"""Runs batch lines through the application itself, without a network in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
from enginehouse.api.call import PRIORITIES
from enginehouse.api.caller import TENANT_HEADER, Caller
from enginehouse.api.received import REQUEST_ID_HEADER
from enginehouse.gateway.batches.lines import LineAnswer, LineCall
from starlette.types import ASGIApp, Receive, Scope, Send

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import error_body, status_of

Vouch = Callable[[Caller], Awaitable[Caller]]


async def _as_before(caller: Caller) -> Caller:
    return caller


class InProcessRunner:
    """A line as a request to the application itself, so that all its stages and routes take part.

    The caller and the priority are part of the request's state, which external requests cannot set.
    So no key is needed or stored.
    """

    def __init__(self, app: ASGIApp, *, vouch: Vouch = _as_before) -> None:
        """Create a runner for an application.

        Args:
            vouch: returns the caller with its current permissions when a line is run, and raises if
                it may not call any more. By default the caller keeps the permissions that it had
                when
                it created the batch.
        """
        self._app = app
        self._vouch = vouch

    async def __call__(self, call: LineCall) -> LineAnswer:
        """See `LineRunner`."""
        try:
            caller = await self._vouch(call.caller)
        except EnginehouseError as error:
            return LineAnswer(status_of(error)[0], error_body(error))
        # Batches are a service tier of their own; a line cannot choose another one.
        body = {name: value for name, value in call.body.items() if name != "service_tier"}
        request = httpx.Request(
            "POST",
            f"http://batch{call.endpoint}",
            json=body,
            headers={REQUEST_ID_HEADER: call.request_id, TENANT_HEADER: caller.tenant},
        )
        # The transport is used without a client, which would add a timeout and a log line for each
        # request.
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
    # A body that is not JSON means an unhandled error.
    return {
        "error": {
            "message": "internal error; the adapter's log has the details",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
