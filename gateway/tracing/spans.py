"""The current span of a task, for the spans and events below it."""

from __future__ import annotations

from contextvars import ContextVar

from enginehouse.api.tracing.context import set_traceparent
from opentelemetry.trace import Span

_span: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span that this task works in; None if none is kept."""
    return _span.get()


def enter(span: Span | None) -> Span | None:
    """Make a span the current one, also for requests to an engine; returns the one before.

    A task that goes on with a generator that another one began does not see it; nothing starts
    a span there any more, as an answer that has begun goes through no further stage.
    """
    before = _span.get()
    _span.set(span)
    set_traceparent(None if span is None else traceparent_of(span))
    return before


def traceparent_of(span: Span) -> str:
    """W3C's form of a span that is kept."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
