"""Every error → status and OpenAI error body, in one table."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from enginehouse.api.json_text import well_formed
from enginehouse.api.refusals import Problem, problem_of
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from enginehouse import errors
from enginehouse.urls import redacted

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = "1"
#: On every response of which it is known which version it came from.
VERSION_HEADER = "x-enginehouse-version"

#: Exception → (status, OpenAI's `type`); the first class that matches.
_TABLE: tuple[tuple[type[errors.EnginehouseError], HTTPStatus, str], ...] = (
    (errors.InvalidRequestError, HTTPStatus.BAD_REQUEST, "invalid_request_error"),
    (errors.ContentBlockedError, HTTPStatus.BAD_REQUEST, "invalid_request_error"),
    (errors.UnauthenticatedError, HTTPStatus.UNAUTHORIZED, "authentication_error"),
    (errors.ForbiddenError, HTTPStatus.FORBIDDEN, "permission_error"),
    (errors.NotFoundError, HTTPStatus.NOT_FOUND, "invalid_request_error"),
    (errors.BudgetError, HTTPStatus.TOO_MANY_REQUESTS, "insufficient_quota"),
    (errors.RateLimitError, HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error"),
    (errors.ModelNotFoundError, HTTPStatus.NOT_FOUND, "invalid_request_error"),
    (errors.GuideCompilerBusyError, HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable_error"),
    (errors.QueueFullError, HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error"),
    (errors.DeadlineError, HTTPStatus.GATEWAY_TIMEOUT, "timeout_error"),
    (errors.EngineUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable_error"),
    (errors.RequestCancelledError, HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable_error"),
    (errors.NotRegisteredError, HTTPStatus.NOT_FOUND, "invalid_request_error"),
    (errors.InUseError, HTTPStatus.CONFLICT, "conflict_error"),
    (errors.ConflictError, HTTPStatus.CONFLICT, "conflict_error"),
    (errors.StoreError, HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable_error"),
    (errors.RegistryError, HTTPStatus.SERVICE_UNAVAILABLE, "service_unavailable_error"),
    (errors.SpecError, HTTPStatus.BAD_REQUEST, "invalid_request_error"),
    (errors.RolloutError, HTTPStatus.CONFLICT, "conflict_error"),
    (errors.EnginehouseError, HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"),
)

#: The contract's input names → the names that callers of this API know.
_PARAMS = {
    "request_output_len": "max_tokens",
    "input_ids": "messages",
    "text_input": "input",
    "runtime_top_p": "top_p",
    "runtime_top_k": "top_k",
}

#: Code of an error that the framework raises.
_HTTP_CODES = {
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


def status_of(error: errors.EnginehouseError) -> tuple[HTTPStatus, str]:
    """Status and OpenAI type of an error."""
    return next((s, kind) for cls, s, kind in _TABLE if isinstance(error, cls))


def public_text(error: errors.EnginehouseError) -> str:
    """What callers are told; where that is less than the error says, the log has all of it."""
    if error.public is None:
        return str(error)
    if error.public != str(error):
        _log.warning("%s: %s", type(error).__name__, redacted(str(error)))
    return error.public


def error_body(error: errors.EnginehouseError, *, operator: bool = False) -> dict[str, Any]:
    """OpenAI's error object.

    Args:
        operator: whether it is for one who runs the service, and is told all but credentials.
    """
    _, kind = status_of(error)
    code = error.code if isinstance(error, errors.ServingError) else "internal_error"
    field = error.field if isinstance(error, errors.ServingError) else None
    message = redacted(str(error)) if operator else public_text(error)
    return _body(message, kind, _PARAMS.get(field, field) if field else None, code)


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    # What is told back of a request must not make its answer fail.
    named = None if param is None else well_formed(param)
    return {"error": {"message": well_formed(message), "type": kind, "param": named, "code": code}}


def _retry_after(error: errors.EnginehouseError) -> str:
    """Whole seconds, at least one, as HTTP has them."""
    if isinstance(error, errors.RateLimitError | errors.QueueFullError):
        return str(max(1, math.ceil(error.retry_after_s)))
    return _RETRY_AFTER_S


def error_response(error: errors.EnginehouseError, *, operator: bool = False) -> JSONResponse:
    """The whole response; see `error_body`."""
    status, _ = status_of(error)
    busy = status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    headers = {"Retry-After": _retry_after(error)} if busy else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error, operator=operator), status_code=status, headers=headers)


def _response_headers(request: Request) -> dict[str, str]:
    """What the stages of its call have to say; see `Call.response_headers`."""
    headers: dict[str, str] = dict(getattr(request.state, "response_headers", {}))
    request_id: str | None = getattr(request.state, "request_id", None)
    if request_id is not None:
        # The last handler stands outside of the middleware that would add it.
        headers.setdefault("x-request-id", request_id)
    return headers


def install_error_handlers(app: FastAPI, *, operators: bool = False) -> None:
    """Register the handlers; routes need no try.

    Args:
        operators: whether all callers run the service.
    """
    app.state.operators = operators
    app.add_exception_handler(errors.EnginehouseError, _on_enginehouse_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_enginehouse_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.EnginehouseError)  # noqa: S101 - registered for that class
    response = error_response(error, operator=request.app.state.operators)
    response.headers.update(_response_headers(request))
    return response


async def _on_validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    problem = _problem(error)
    return JSONResponse(
        _body(problem.message, "invalid_request_error", problem.param, problem.code),
        status_code=HTTPStatus.BAD_REQUEST,
    )


def _problem(error: RequestValidationError) -> Problem:
    """Places begin with the part of the request: ``body``, ``query``, ``path`` or ``header``."""
    listed = error.errors()
    part = listed[0]["loc"][0]
    own = [{**one, "loc": one["loc"][1:]} for one in listed if one["loc"][0] == part]
    if part == "body":
        return problem_of(own, error.body)
    return problem_of(own, {one["loc"][0]: one["input"] for one in own if one["type"] != "missing"})


async def _on_http_exception(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class
    status = HTTPStatus(error.status_code)
    code = _HTTP_CODES.get(status)
    kind = "authentication_error" if status == HTTPStatus.UNAUTHORIZED else "invalid_request_error"
    return JSONResponse(
        _body(str(error.detail), kind, None, code),
        status_code=error.status_code,
        headers=error.headers,
    )


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error", exc_info=error)
    return JSONResponse(
        _body("internal error; the adapter's log has the details", "server_error", None, None),
        status_code=HTTPStatus.INTERNAL_SERVER_ERROR,
        headers=_response_headers(request),
    )
