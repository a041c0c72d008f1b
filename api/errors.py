"""The adapter's error responses; statuses and bodies are `enginehouse.http_errors`'s."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import (
    ErrorReply,
    reply_to,
    reply_to_http,
    reply_to_invalid,
    reply_to_unexpected,
)

#: On every response of which it is known which version it came from.
VERSION_HEADER = "x-enginehouse-version"


def error_response(error: EnginehouseError) -> JSONResponse:
    """The whole response to an error of ours."""
    return _response(reply_to(error))


def install_error_handlers(app: FastAPI) -> None:
    """Register the handlers; routes need no try."""
    app.add_exception_handler(EnginehouseError, _on_enginehouse_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def _response(reply: ErrorReply) -> JSONResponse:
    return JSONResponse(reply.body, status_code=reply.status, headers=reply.headers)


def _response_headers(request: Request) -> dict[str, str]:
    """What the stages of its call have to say; see `Call.response_headers`."""
    headers: dict[str, str] = dict(getattr(request.state, "response_headers", {}))
    request_id: str | None = getattr(request.state, "request_id", None)
    if request_id is not None:
        # The last handler stands outside of the middleware that would add it.
        headers.setdefault("x-request-id", request_id)
    return headers


async def _on_enginehouse_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EnginehouseError)  # noqa: S101 - registered for that class
    response = error_response(error)
    response.headers.update(_response_headers(request))
    return response


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    return _response(reply_to_invalid(error.errors(), error.body))


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class
    return _response(reply_to_http(error.status_code, str(error.detail), error.headers))


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    response = _response(reply_to_unexpected(error, "adapter"))
    response.headers.update(_response_headers(request))
    return response
