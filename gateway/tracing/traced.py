"""The stages that make spans: one around a whole call, one around a step of it, and events.

A chain has them only where spans are exported. A call whose trace is not kept costs one decision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import See
from enginehouse.api.tracing.context import request_of
from enginehouse.gateway.tracing.attributes import answered, asked, operation_of
from enginehouse.gateway.tracing.spans import current_span, enter
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from enginehouse.errors import EnginehouseError, RequestCancelledError, ServingError
from enginehouse.http_errors import status_of
from enginehouse.telemetry import TraceParent

_NANOSECONDS = 1_000_000_000
_FIRST_5XX = 500
_CLIENT_GONE = "client_gone"
_UNEXPECTED = "internal_error"


@dataclass(frozen=True, slots=True)
class Traced:
    """A server's span around the whole call, below the caller's own where a header names it."""

    tracer: Tracer

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[See | None, None]:
        """See `Watcher`."""
        span = self.tracer.start_span(
            operation_of(call.ask.endpoint),
            context=_parent(call),
            kind=SpanKind.SERVER,
            start_time=int(call.at * _NANOSECONDS),
        )
        request_of(call.request_id).trace_id = f"{span.get_span_context().trace_id:032x}"
        if not span.is_recording():
            yield None
            return
        span.set_attributes(asked(call))
        seen = _Seen()
        before = enter(span)
        try:
            with _failures_on(span):
                yield seen.see
        finally:
            enter(before)
            _describe(span, call, seen)
            span.end()


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A span around the stages behind it, below the current one."""

    tracer: Tracer
    step: str

    @asynccontextmanager
    async def enter(self, _: object) -> AsyncGenerator[None, None]:
        """See `Watcher`."""
        parent = current_span()
        if parent is None:
            yield
            return
        span = self.tracer.start_span(self.step, context=set_span_in_context(parent))
        enter(span)
        try:
            with _failures_on(span):
                yield
        finally:
            enter(parent)
            span.end()


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event on the current span when a call has come this far."""

    event: str

    @asynccontextmanager
    async def enter(self, _: object) -> AsyncGenerator[None, None]:
        """See `Watcher`."""
        span = current_span()
        if span is not None:
            span.add_event(self.event)
        yield


@dataclass(slots=True)
class _Seen:
    """What the chunks of an answer say about it, without their text."""

    first_s: float | None = None
    finishes: dict[int, str] = field(default_factory=dict)

    def see(self, piece: TextChunk) -> None:
        if self.first_s is None:
            self.first_s = time.perf_counter()
        if piece.finish is not None:
            self.finishes[piece.index] = str(piece.finish)


def _parent(call: Call) -> Context:
    """The caller's span; without one the trace begins here, whatever else this task works in."""
    given = TraceParent.parse(call.headers.get("traceparent", ""))
    return Context() if given is None else given.context()


@contextmanager
def _failures_on(span: Span) -> Iterator[None]:
    """Note the block's failure on a span: its kind, never its words."""
    try:
        yield
    except (GeneratorExit, asyncio.CancelledError, RequestCancelledError):
        span.set_attribute("error.type", _CLIENT_GONE)
        raise
    except EnginehouseError as error:
        code = error.code if isinstance(error, ServingError) else _UNEXPECTED
        span.set_attribute("error.type", code)
        # HTTP's conventions: what a caller did wrong is not the server's error.
        if status_of(error)[0] >= _FIRST_5XX:
            span.set_status(StatusCode.ERROR, code)
        raise
    except Exception as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR, _UNEXPECTED)
        raise


def _describe(span: Span, call: Call, seen: _Seen) -> None:
    span.set_attributes(answered(call))
    if call.served_by is not None:
        # Only names of models that are there: a span's name must not be what anybody makes up.
        span.update_name(f"{operation_of(call.ask.endpoint)} {call.served_by.model}")
    if seen.first_s is not None and call.ask.stream:
        span.set_attribute("gen_ai.response.time_to_first_chunk", seen.first_s - call.began)
    if seen.finishes:
        reasons = [seen.finishes[index] for index in sorted(seen.finishes)]
        span.set_attribute("gen_ai.response.finish_reasons", reasons)
