"""The current span of a task, as the parent of further spans and events."""

from __future__ import annotations

from contextvars import ContextVar

from enginehouse.api.tracing.context import set_traceparent
from opentelemetry.trace import Span

_span: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span of this task; None if none is recorded."""
    return _span.get()


def enter(span: Span | None) -> Span | None:
    """Make a span the current one, also for requests to an engine; returns the previous one.

    A task that continues a generator started by another task does not see the span. No span is
    started there, because an answer that has begun passes no further stage.
    """
    before = _span.get()
    _span.set(span)
    set_traceparent(None if span is None else traceparent_of(span))
    return before


def traceparent_of(span: Span) -> str:
    """W3C's `traceparent` of a recorded span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
