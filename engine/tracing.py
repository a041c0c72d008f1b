"""OpenTelemetry spans of requests in the engine: guide, queue, prefill, decode.

The sink of a request that belongs to a sampled trace is wrapped. When the request ends, its timings
go to a thread that creates the spans. The loop and other requests are not affected. Without a
collector nothing is set up.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enginehouse.engine.job import Job, Sink

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, GenerationRequest, Timings
from enginehouse.supervision import start_thread
from enginehouse.telemetry import SpanExport, TraceParent, open_export, read_telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_log = logging.getLogger(__name__)
_MOST_WAITING = 4096
_SERVICE = "enginehouse-engine"


@dataclass(frozen=True, slots=True)
class EndedGeneration:
    """One answer that has ended; times are monotonic nanoseconds, as in `Timings`.

    Attributes:
        parent: the span of the caller.
        submitted_ns: when the request was submitted, before its guide was compiled.
        ended_ns: when its last response was sent.
        generated_tokens: 0 if it failed before the first token.
        finish: a `FinishReason`; None if it failed.
        error: code of the `ServingError`; None if it did not fail.
        guided: whether a guide was compiled for it.
    """

    parent: TraceParent
    timings: Timings
    submitted_ns: int
    ended_ns: int
    request_id: str
    prompt_tokens: int
    generated_tokens: int = 0
    finish: str | None = None
    error: str | None = None
    guided: bool = False


class EngineSpans:
    """Creates spans of ended requests, on a thread of its own."""

    def __init__(self, export: SpanExport, model: str, version: str) -> None:
        """Start the thread; `close` closes `export`."""
        self._export = export
        self._attributes: dict[str, str | int] = {
            "gen_ai.response.model": model,
            "enginehouse.version": int(version),
        }
        self._endings: queue.Queue[EndedGeneration | None] = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._thread = start_thread("engine-spans", self._work)

    def followed(self, request: GenerationRequest, sink: Sink) -> Sink:
        """The sink to use for a request: wrapped if its trace is sampled, otherwise unchanged."""
        if request.traceparent is None:
            return sink
        parent = TraceParent.parse(request.traceparent)
        if parent is None or not parent.sampled:
            return sink
        return _FollowedSink(self, parent, request, sink)

    def add(self, ended: EndedGeneration) -> None:
        """Queue an ended answer without blocking; if the queue is full, drop and count it."""
        try:
            self._endings.put_nowait(ended)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Export what is queued and end; waits at most a few seconds for the collector."""
        self._endings.put(None)
        self._thread.join()
        self._export.close()
        if self._dropped:
            _log.warning("%d traces of this engine were dropped: too many at once", self._dropped)

    def _work(self) -> None:
        tracer = self._export.tracer(__name__)
        while (ended := self._endings.get()) is not None:
            self._record(tracer, ended)

    def _record(self, tracer: Tracer, ended: EndedGeneration) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        # Timings are monotonic, spans need wall-clock time.
        shift_ns = time.time_ns() - time.monotonic_ns()
        whole = tracer.start_span(
            "generate",
            context=ended.parent.context(),
            start_time=ended.submitted_ns + shift_ns,
            attributes={**self._attributes, **_facts(ended)},
        )
        inside = set_span_in_context(whole)
        for name, begin_ns, end_ns in phases(ended):
            span: Span = tracer.start_span(name, context=inside, start_time=begin_ns + shift_ns)
            span.end(end_ns + shift_ns)
        if ended.error is not None:
            whole.set_status(StatusCode.ERROR, ended.error)
        whole.end(ended.ended_ns + shift_ns)


def phases(ended: EndedGeneration) -> list[tuple[str, int, int]]:
    """Name, start and end of each phase that was reached, in monotonic nanoseconds.

    ``guide`` is the compilation of a guide, ``queue`` the wait for a slot in the batch, ``prefill``
    the time to the first token, ``decode`` the time from the first to the last token. A request
    that failed before its first token has no phases, since its progress is unknown.
    """
    timings = ended.timings
    if not timings.arrival_ns:
        return []
    marks = [
        ("guide", ended.submitted_ns if ended.guided else 0),
        ("queue", timings.arrival_ns),
        ("prefill", timings.first_scheduled_ns),
        ("decode", timings.first_token_ns),
    ]
    reached = [(name, begin_ns) for name, begin_ns in marks if begin_ns]
    last_ns = timings.last_token_ns if timings.first_token_ns else ended.ended_ns
    ends_ns = [begin_ns for _, begin_ns in reached[1:]] + [last_ns]
    return [(name, begin, end) for (name, begin), end in zip(reached, ends_ns, strict=True)]


def _facts(ended: EndedGeneration) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "enginehouse.engine_request_id": ended.request_id,
        "gen_ai.usage.input_tokens": ended.prompt_tokens,
        "gen_ai.usage.output_tokens": ended.generated_tokens,
    }
    if ended.finish is not None:
        facts["enginehouse.finish"] = ended.finish
    if ended.error is not None:
        facts["error.type"] = ended.error
    return facts


class _FollowedSink:
    """Forwards every call to a sink, and records the end of each answer."""

    def __init__(
        self, spans: EngineSpans, parent: TraceParent, request: GenerationRequest, sink: Sink
    ) -> None:
        self._spans = spans
        self._sink = sink
        self._timings = Timings()
        self._base = EndedGeneration(
            parent=parent,
            timings=self._timings,
            submitted_ns=time.monotonic_ns(),
            ended_ns=0,
            request_id=request.request_id,
            prompt_tokens=len(request.input_ids),
            guided=bool(request.guide or request.bad_words),
        )

    def send(self, job: Job, chunk: Chunk, /) -> None:
        """See `Sink`."""
        self._timings = job.timings
        self._sink.send(job, chunk)
        if chunk.finish is not None:
            self._end(generated_tokens=len(job.generated), finish=chunk.finish.value)

    def fail(self, error: ServingError) -> None:
        """See `Sink`."""
        self._sink.fail(error)
        self._end(error=error.code)

    def cancelled(self) -> bool:
        """See `Sink`."""
        return self._sink.cancelled()

    def _end(
        self, *, generated_tokens: int = 0, finish: str | None = None, error: str | None = None
    ) -> None:
        self._spans.add(
            replace(
                self._base,
                # A copy, because the loop keeps changing its own.
                timings=replace(self._timings),
                ended_ns=time.monotonic_ns(),
                generated_tokens=generated_tokens,
                finish=finish,
                error=error,
            )
        )


def open_spans(environ: Mapping[str, str], model: str, version: str) -> EngineSpans | None:
    """Open the span export of one loaded version; None if no collector is configured.

    Args:
        environ: environment variables.
        model: the Triton model, ``<model>.tensorrt_llm``.
        version: its version number.

    Raises:
        SettingsError: if a variable has an invalid value.
    """
    export = open_export(read_telemetry(environ), _SERVICE)
    if export is None:
        return None
    return EngineSpans(export, model.rpartition(".")[0] or model, version)
