"""Errors of the Messages API: its error body, statuses and request id header.

A request may be rejected anywhere, also before it reaches the routes (API keys, size of the body),
and always with OpenAI's error body. A middleware around all of them translates the body.
"""

from __future__ import annotations

import json
import logging
import re
from http import HTTPStatus
from typing import Any

import orjson
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import error_body, status_of

_log = logging.getLogger(__name__)
#: Root path of the API.
ROOT = "/v1/messages"
#: Anthropic's status for an overloaded service; HTTP has no name for it.
OVERLOADED = 529
_TYPES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.PAYMENT_REQUIRED: "billing_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
    OVERLOADED: "overloaded_error",
}
#: OpenAI's error codes for a full engine; the caller has not exceeded a limit of its own.
_FULL = {"queue_full"}
_INDEX = re.compile(r"\[(\d+)\]")


def translated(status: int, body: Any, request_id: str | None) -> tuple[int, dict[str, Any]]:
    """OpenAI's error → status and error body of this API."""
    error = body.get("error") if isinstance(body, dict) else None
    error = error if isinstance(error, dict) else {"message": str(body)}
    if status == HTTPStatus.SERVICE_UNAVAILABLE or error.get("code") in _FULL:
        status = OVERLOADED
    other = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    inner = {"type": _TYPES.get(status, other), "message": _sentence(error)}
    return status, {"type": "error", "error": inner, "request_id": request_id}


def stream_error(error: EnginehouseError, request_id: str) -> dict[str, Any]:
    """The event for an error in the middle of a stream."""
    return translated(int(status_of(error)[0]), error_body(error), request_id)[1]


def _sentence(error: dict[str, Any]) -> str:
    """The message, prefixed with the field's name: this API's body has no place for it."""
    message, param = str(error.get("message") or ""), error.get("param")
    if not isinstance(param, str):
        return message
    place = _INDEX.sub(r".\1", param)
    match error.get("code"):
        case "missing_required_parameter":
            return f"{place}: Field required"
        case "unknown_parameter":
            return f"{place}: Extra inputs are not permitted"
    for opening in (f"Invalid {param!r}: ", f"{param}: "):
        if message.startswith(opening):
            return f"{place}: {message.removeprefix(opening)}"
    message = message.replace(param, place)
    return message if message.startswith(place) else f"{place}: {message}"


class MessagesErrors:
    """ASGI middleware: outside of everything that rejects requests, inside of the access log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or not _is_ours(scope):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, scope.get("state", {}).get("request_id"))
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if not answer.began:
                # The exception is raised again, so that the outer middleware logs it; it would
                # write OpenAI's body.
                await answer.unexpected()
            raise


def _is_ours(scope: Scope) -> bool:
    root: str = scope.get("root_path", "").rstrip("/")
    path: str = scope["path"].removeprefix(root)
    return path == ROOT or path.startswith(f"{ROOT}/")


class _Answer:
    """One answer; the body of an error is held back until it is complete."""

    def __init__(self, send: Send, request_id: str | None) -> None:
        self._send = send
        self._request_id = request_id
        self._error: Message | None = None
        self._body = b""
        self.began = False

    async def send(self, message: Message) -> None:
        """Handle a message that the application sends."""
        if message["type"] == "http.response.start":
            self.began = True
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            if self._request_id is not None:
                headers["request-id"] = self._request_id
            message = {**message, "headers": headers.raw}
            if message["status"] >= HTTPStatus.BAD_REQUEST:
                self._error = message
                return
        if self._error is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._send_error(self._error)

    async def unexpected(self) -> None:
        """Answer a request that ended with an unhandled exception."""
        self._body = b'"internal error; the adapter\'s log has the details"'
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        await self._send_error({"type": "http.response.start", "status": status, "headers": []})

    async def _send_error(self, start: Message) -> None:
        try:
            given = json.loads(self._body)
        except ValueError:
            given = self._body.decode(errors="replace")
        status, content = translated(start["status"], given, self._request_id)
        body = orjson.dumps(content)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-type"] = "application/json"
        headers["content-length"] = str(len(body))
        self.began = True
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})
