"""The request that the running code belongs to, for log lines and for child spans."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class RequestContext:
    """One request; all tasks that work for it share this object.

    Attributes:
        trace_id: 32 hexadecimal digits; None without a trace.
        facts: details for its line in the access log; they contain no text of the caller.
    """

    request_id: str
    trace_id: str | None = None
    facts: dict[str, str | int | float | None] = field(default_factory=dict)


_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_request() -> RequestContext | None:
    """The request that the running code belongs to; None outside of a request."""
    return _request.get()


def set_request(request: RequestContext | None) -> RequestContext | None:
    """Set the current request; returns the previous one."""
    before = _request.get()
    _request.set(request)
    return before


def request_of(request_id: str) -> RequestContext:
    """The current request if it has this id, else a new one, which becomes the current request.

    Calls without an HTTP request, such as those of a batch, have no middleware that sets it.
    """
    request = _request.get()
    if request is None or request.request_id != request_id:
        request = RequestContext(request_id)
        _request.set(request)
    return request


def current_traceparent() -> str | None:
    """The current span as W3C's `traceparent`; None without a recorded span."""
    return _traceparent.get()


def set_traceparent(traceparent: str | None) -> None:
    """Make a span the parent of further spans of this task."""
    _traceparent.set(traceparent)
