"""Which request the running code works for: for logs, and for spans below the current one."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class RequestContext:
    """One request; the same object in all tasks that work for it.

    Attributes:
        trace_id: 32 hexadecimal digits; None without a trace.
        facts: what became known of it, for its line in the access log; no text of the caller.
    """

    request_id: str
    trace_id: str | None = None
    facts: dict[str, str | int | float | None] = field(default_factory=dict)


_request: ContextVar[RequestContext | None] = ContextVar("request", default=None)
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current_request() -> RequestContext | None:
    """The request that this code works for; None outside of any."""
    return _request.get()


def set_request(request: RequestContext | None) -> RequestContext | None:
    """Work for another request from here on; returns the one before."""
    before = _request.get()
    _request.set(request)
    return before


def request_of(request_id: str) -> RequestContext:
    """The request with this id, made the current one if it is not.

    A call that no HTTP request brought, as those of a batch, has nobody else to set it.
    """
    request = _request.get()
    if request is None or request.request_id != request_id:
        request = RequestContext(request_id)
        _request.set(request)
    return request


def current_traceparent() -> str | None:
    """The current span as W3C's `traceparent`; None without a span that is kept."""
    return _traceparent.get()


def set_traceparent(traceparent: str | None) -> None:
    """Make a span the parent of what comes next in this task."""
    _traceparent.set(traceparent)
