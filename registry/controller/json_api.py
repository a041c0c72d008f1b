"""JSON bodies and error replies of the controller's HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import (
    ErrorReply,
    reply_to,
    reply_to_http,
    reply_to_invalid,
    reply_to_unexpected,
)
from enginehouse.requests.content_type import content_type_problem
from enginehouse.requests.json_text import read_body


class ControllerRoute(APIRoute):
    """A route that reads its body, if it has one, with `read_body`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI.

        Raises:
            HTTPException: 415 if the body is declared as something other than JSON.
            InvalidRequestError: if it is not JSON, see `read_body`.
        """
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def read(request: Request) -> Response:
            body = _ControllerRequest(request.scope, request.receive)
            await body.read()
            return await handler(body)

        return read


class _ControllerRequest(Request):
    async def read(self) -> None:
        try:
            raw = await self.body()
        except ClientDisconnect:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the body was cut off") from None
        if not raw:
            return
        problem = content_type_problem(self.headers, "application/json")
        if problem is not None:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
        self._json = read_body(raw)


def install_controller_errors(app: FastAPI) -> None:
    """Register the error handlers; operators get all details except credentials."""
    app.add_exception_handler(EnginehouseError, _on_enginehouse_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(StarletteHTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def _response(reply: ErrorReply) -> JSONResponse:
    return JSONResponse(reply.body, status_code=reply.status, headers=reply.headers)


async def _on_enginehouse_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EnginehouseError)  # noqa: S101 - registered for that class
    return _response(reply_to(error, operator=True))


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    return _response(reply_to_invalid(error.errors(), error.body))


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for that class
    return _response(reply_to_http(error.status_code, str(error.detail), error.headers))


async def _on_unexpected(_: Request, error: Exception) -> JSONResponse:
    return _response(reply_to_unexpected(error, "controller"))
