"""Maps every error to an HTTP status and an OpenAI error body, in one table.

Used by the adapter and the release controller. No web framework is imported here: each server has a
few handlers of its own that turn an `ErrorReply` into a response.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from enginehouse import errors
from enginehouse.requests import Problem, problem_of
from enginehouse.requests.json_text import well_formed
from enginehouse.urls import redacted

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = "1"

#: Exception → (status, OpenAI's `type`); the first matching class wins.
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

#: The contract's input names → the names that callers of the HTTP API use.
_PARAMS = {
    "request_output_len": "max_tokens",
    "input_ids": "messages",
    "text_input": "input",
    "runtime_top_p": "top_p",
    "runtime_top_k": "top_k",
}

#: Error codes for HTTP errors that the web framework raises.
_HTTP_CODES = {
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
}


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A response that reports an error.

    Attributes:
        body: OpenAI's error object.
    """

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def status_of(error: errors.EnginehouseError) -> tuple[HTTPStatus, str]:
    """Status and OpenAI type of an error."""
    return next((s, kind) for cls, s, kind in _TABLE if isinstance(error, cls))


def public_text(error: errors.EnginehouseError) -> str:
    """The message for callers; if it hides details, they are logged."""
    if error.public is None:
        return str(error)
    if error.public != str(error):
        _log.warning("%s: %s", type(error).__name__, redacted(str(error)))
    return error.public


def error_body(error: errors.EnginehouseError, *, operator: bool = False) -> dict[str, Any]:
    """OpenAI's error object.

    Args:
        operator: whether it is for an operator, who gets all details except credentials.
    """
    _, kind = status_of(error)
    code = error.code if isinstance(error, errors.ServingError) else "internal_error"
    field = error.field if isinstance(error, errors.ServingError) else None
    message = redacted(str(error)) if operator else public_text(error)
    return _openai_error(message, kind, _PARAMS.get(field, field) if field else None, code)


def reply_to(error: errors.EnginehouseError, *, operator: bool = False) -> ErrorReply:
    """The reply to one of our errors; for `operator` see `error_body`."""
    status, _ = status_of(error)
    busy = status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    headers = {"Retry-After": _retry_after(error)} if busy else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return ErrorReply(status, error_body(error, operator=operator), headers)


def reply_to_invalid(found: Sequence[Mapping[str, Any]], body: Any) -> ErrorReply:
    """The reply to a request that does not fit its model.

    Args:
        found: pydantic's errors; their `loc` begins with the part of the request: ``body``,
            ``query``, ``path`` or ``header``.
        body: the request's parsed body.
    """
    problem = _problem(found, body)
    return ErrorReply(
        HTTPStatus.BAD_REQUEST,
        _openai_error(problem.message, "invalid_request_error", problem.param, problem.code),
    )


def reply_to_http(status: int, detail: str, headers: Mapping[str, str] | None) -> ErrorReply:
    """The reply to an error that a web framework raises, for example 404 or 405."""
    kind = "authentication_error" if status == HTTPStatus.UNAUTHORIZED else "invalid_request_error"
    code = _HTTP_CODES.get(HTTPStatus(status))
    return ErrorReply(status, _openai_error(detail, kind, None, code), dict(headers or {}))


def reply_to_unexpected(error: Exception, process: str) -> ErrorReply:
    """The reply to an unexpected error, which is logged with its traceback.

    Args:
        process: process whose log has the details, for example ``adapter``.
    """
    _log.error("unexpected error", exc_info=error)
    return ErrorReply(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        _openai_error(
            f"internal error; the {process}'s log has the details", "server_error", None, None
        ),
    )


def _openai_error(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    # Text from the request must not make the response fail.
    named = None if param is None else well_formed(param)
    return {"error": {"message": well_formed(message), "type": kind, "param": named, "code": code}}


def _retry_after(error: errors.EnginehouseError) -> str:
    """Whole seconds, at least one, as HTTP requires."""
    if isinstance(error, errors.RateLimitError | errors.QueueFullError):
        return str(max(1, math.ceil(error.retry_after_s)))
    return _RETRY_AFTER_S


def _problem(found: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    part = found[0]["loc"][0]
    own = [{**one, "loc": one["loc"][1:]} for one in found if one["loc"][0] == part]
    if part == "body":
        return problem_of(own, body)
    return problem_of(own, {one["loc"][0]: one["input"] for one in own if one["type"] != "missing"})
