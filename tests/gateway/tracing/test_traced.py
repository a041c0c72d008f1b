from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.api.tracing.context import (
    RequestContext,
    current_request,
    current_traceparent,
    set_request,
)
from enginehouse.gateway.tracing.traced import SpanEvent, StageSpan, Traced
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from enginehouse.errors import EngineUnavailableError, InvalidRequestError
from enginehouse.telemetry import SpanExport, Telemetry, TraceParent, open_export
from tests.gateway.through import through
from tests.gateway.tracing.calls import PIECES, SECRET, answering, make_call, run
from tests.gateway.tracing.collector import Collector, attributes_of

_TRACE, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_KEPT = {"traceparent": f"00-{_TRACE}-{_SPAN}-01"}
_DROPPED = {"traceparent": f"00-{_TRACE}-{_SPAN}-00"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


def _export(collector: Collector, share: float = 1.0) -> SpanExport:
    export = open_export(Telemetry(f"{collector.url}/v1/traces", share), "adapter")
    assert export is not None
    return export


def _traced(collector: Collector, call: Call, **run_options: Any) -> list[Span]:
    """Run a call through the three kinds of stages; the spans that come of it."""
    export = _export(collector)
    tracer = export.tracer("tests")
    stages = [Traced(tracer), SpanEvent("routed"), StageSpan(tracer, "engine")]
    try:
        run(stages, call, run_options.pop("last", answering()), **run_options)
    finally:
        export.close()
    return collector.spans()


def _named(spans: list[Span], name: str) -> Span:
    return next(span for span in spans if span.name == name)


def test_a_call_is_a_servers_span_below_the_callers(collector: Collector) -> None:
    spans = _traced(collector, make_call(headers=_KEPT))
    whole, engine = _named(spans, "chat m"), _named(spans, "engine")
    assert whole.kind == Span.SPAN_KIND_SERVER
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (_TRACE, _SPAN)
    assert engine.parent_span_id == whole.span_id
    assert whole.start_time_unix_nano <= engine.start_time_unix_nano
    assert engine.end_time_unix_nano <= whole.end_time_unix_nano
    assert [event.name for event in whole.events] == ["routed"]
    assert collector.services() == {"adapter"}


def test_its_attributes_are_the_conventions_and_hold_no_text(collector: Collector) -> None:
    spans = _traced(collector, make_call(headers=_KEPT))
    attributes = attributes_of(_named(spans, "chat m"))
    assert attributes.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert attributes.pop("gen_ai.response.id").startswith("chatcmpl-")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "enginehouse",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "openai.response.system_fingerprint": "m@3",
        "enginehouse.version": 3,
        "enginehouse.source": "engine",
        "enginehouse.tenant": "default",
        "enginehouse.request_id": "req-1",
    }
    assert SECRET not in str(spans)


def test_without_a_callers_trace_one_begins(collector: Collector) -> None:
    spans = _traced(collector, make_call(headers={"traceparent": "nonsense"}))
    assert _named(spans, "chat m").parent_span_id == b""


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (EngineUnavailableError(SECRET), "engine_unavailable", Status.STATUS_CODE_ERROR),
        (InvalidRequestError(SECRET), "invalid_value", Status.STATUS_CODE_UNSET),
        (ValueError(SECRET), "ValueError", Status.STATUS_CODE_ERROR),
    ],
)
def test_a_failure_is_named_by_its_kind_and_not_quoted(
    collector: Collector, error: Exception, kind: str, status: int
) -> None:
    export = _export(collector)
    tracer = export.tracer("tests")
    with pytest.raises(type(error)):
        run([Traced(tracer), StageSpan(tracer, "engine")], make_call(), answering(error=error))
    export.close()
    for span in collector.spans():
        assert attributes_of(span)["error.type"] == kind
        assert span.status.code == status
        assert SECRET not in str(span)


def test_a_caller_who_goes_ends_the_spans(collector: Collector) -> None:
    spans = _traced(collector, make_call(), most=1)
    assert {span.name for span in spans} == {"chat m", "engine"}
    for span in spans:
        assert attributes_of(span)["error.type"] == "client_gone"
        assert span.status.code == Status.STATUS_CODE_UNSET


def test_the_callers_decision_not_to_keep_is_followed(collector: Collector) -> None:
    seen: list[str | None] = []

    async def last(call: Call) -> AsyncGenerator[TextChunk, None]:
        seen.append(current_traceparent())
        yield PIECES[-1]

    assert _traced(collector, make_call(headers=_DROPPED), last=last) == []
    assert seen == [None]


def test_a_share_of_nothing_keeps_only_what_callers_keep(collector: Collector) -> None:
    export = _export(collector, share=0.0)
    stage = Traced(export.tracer("tests"))
    run([stage], make_call(), answering())
    run([stage], make_call(headers=_KEPT), answering())
    export.close()
    assert [span.trace_id.hex() for span in collector.spans()] == [_TRACE]


def test_what_asks_the_engine_finds_the_innermost_span_and_logs_find_the_trace(
    collector: Collector,
) -> None:
    parents: list[str | None] = []
    requests: list[RequestContext | None] = []

    async def last(call: Call) -> AsyncGenerator[TextChunk, None]:
        parents.append(current_traceparent())
        requests.append(current_request())
        for piece in PIECES:
            yield piece

    spans = _traced(collector, make_call(headers=_KEPT), last=last)
    parent = TraceParent.parse(parents[0] or "")
    assert parent is not None
    assert parent.sampled
    assert parent.span_id == int.from_bytes(_named(spans, "engine").span_id)
    assert requests == [RequestContext("req-1", _TRACE)]


def test_an_answer_that_another_task_goes_on_with_has_whole_spans(collector: Collector) -> None:
    export = _export(collector)
    tracer = export.tracer("tests")
    request = RequestContext("req-1")

    async def streamed() -> None:
        set_request(request)
        stages = [Traced(tracer), StageSpan(tracer, "engine")]
        async with aclosing(through(stages, make_call(headers=_KEPT), answering())) as pieces:
            await asyncio.create_task(anext(pieces))

            async def rest() -> list[TextChunk]:
                return [piece async for piece in pieces]

            assert len(await asyncio.create_task(rest())) == 2
        assert current_traceparent() is None

    asyncio.run(streamed())
    export.close()
    names = {span.name: attributes_of(span) for span in collector.spans()}
    assert names.keys() == {"chat m", "engine"}
    assert "error.type" not in names["chat m"]
    assert request.trace_id == _TRACE


def test_the_global_provider_is_left_alone(collector: Collector) -> None:
    before = trace.get_tracer_provider()
    _export(collector).close()
    assert trace.get_tracer_provider() is before


def test_a_collector_that_is_away_fails_no_call_and_holds_up_no_end() -> None:
    with Collector() as gone:
        pass
    export = _export(gone)
    assert len(run([Traced(export.tracer("tests"))], make_call(), answering())) == 3
    export.close()
