from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import numpy as np
import pytest
from enginehouse.client.wire import Target, encode_request
from enginehouse.engine.codec import ModelLimits, Parameters, decode_request, read_parameters
from enginehouse.engine.job import Sink
from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.tracing import EndedGeneration, EngineSpans, open_spans, phases
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from enginehouse.contract import TRACEPARENT_PARAMETER
from enginehouse.errors import InvalidRequestError
from enginehouse.generation import GenerationRequest, Timings
from enginehouse.manifest import EngineSettings
from enginehouse.telemetry import TraceParent
from tests.engine.fakes import POISON, Collector, CountingRuntime
from tests.gateway.tracing.collector import Collector as OtlpCollector
from tests.gateway.tracing.collector import attributes_of

_PARENT = TraceParent(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, sampled=True)
_REACHED = [("queue", 20, 30), ("prefill", 30, 40), ("decode", 40, 50)]


@pytest.fixture
def otlp() -> Iterator[OtlpCollector]:
    with OtlpCollector() as running:
        yield running


@pytest.fixture
def spans(otlp: OtlpCollector) -> EngineSpans:
    opened = open_spans({"ENGINEHOUSE_OTLP_ENDPOINT": otlp.url}, "m.tensorrt_llm", "3")
    assert opened is not None
    return opened


def _request(first: int = 1, traceparent: str | None = str(_PARENT)) -> GenerationRequest:
    return GenerationRequest([first, 2], 5, request_id="r", traceparent=traceparent)


def _run(spans: EngineSpans, *requests: GenerationRequest) -> None:
    loop = EngineLoop(CountingRuntime(), EngineSettings(max_batch=4))
    sinks = [Collector() for _ in requests]
    loop.start()
    for request, sink in zip(requests, sinks, strict=True):
        loop.submit(request, spans.followed(request, sink))
        sink.wait()
    loop.close()
    spans.close()


def _named(spans: list[Span]) -> dict[str, Span]:
    return {span.name: span for span in spans}


def test_an_answer_has_its_phases_in_order_below_the_adapters_span(
    otlp: OtlpCollector, spans: EngineSpans
) -> None:
    _run(spans, _request())
    found = _named(otlp.spans())
    assert found.keys() == {"generate", "queue", "prefill", "decode"}
    whole = found["generate"]
    assert int.from_bytes(whole.trace_id) == _PARENT.trace_id
    assert int.from_bytes(whole.parent_span_id) == _PARENT.span_id
    phases_ = [found[name] for name in ("queue", "prefill", "decode")]
    assert all(phase.parent_span_id == whole.span_id for phase in phases_)
    for before, after in itertools.pairwise(phases_):
        assert before.start_time_unix_nano <= before.end_time_unix_nano
        assert before.end_time_unix_nano == after.start_time_unix_nano
    assert whole.end_time_unix_nano >= phases_[-1].end_time_unix_nano
    assert attributes_of(whole) == {
        "gen_ai.response.model": "m",
        "enginehouse.version": 3,
        "enginehouse.engine_request_id": "r",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 5,
        "enginehouse.finish": "length",
    }
    assert otlp.services() == {"enginehouse-engine"}


def test_a_request_that_fails_has_a_span_with_its_code(
    otlp: OtlpCollector, spans: EngineSpans
) -> None:
    _run(spans, _request(POISON))
    (whole,) = otlp.spans()
    assert attributes_of(whole)["error.type"] == "internal_error"
    assert whole.status.code == Status.STATUS_CODE_ERROR
    assert whole.status.message == "internal_error"


@pytest.mark.parametrize("traceparent", [None, str(_PARENT)[:-2] + "00"])
def test_a_request_whose_trace_is_not_kept_has_its_own_sink_and_no_span(
    otlp: OtlpCollector, spans: EngineSpans, traceparent: str | None
) -> None:
    request, sink = _request(traceparent=traceparent), Collector()
    followed: Sink = spans.followed(request, sink)
    assert followed is sink
    _run(spans, request)
    assert otlp.spans() == []


def test_nothing_is_set_up_without_a_collector() -> None:
    assert open_spans({}, "m.tensorrt_llm", "1") is None


@pytest.mark.parametrize(
    ("timings", "guided", "expected"),
    [
        (Timings(20, 30, 40, 50), False, _REACHED),
        (Timings(20, 30, 40, 50), True, [("guide", 10, 20), *_REACHED]),
        (Timings(20, 30), False, [("queue", 20, 30), ("prefill", 30, 60)]),
        (Timings(20), False, [("queue", 20, 60)]),
        (Timings(), False, []),
    ],
)  # fmt: skip
def test_only_phases_that_were_reached_are_there(
    timings: Timings, expected: list[tuple[str, int, int]], *, guided: bool
) -> None:
    ended = EndedGeneration(
        _PARENT, timings, submitted_ns=10, ended_ns=60, request_id="r", prompt_tokens=1,
        guided=guided,
    )  # fmt: skip
    assert phases(ended) == expected


def test_the_context_travels_as_a_request_parameter() -> None:
    message = encode_request(Target("m", 3), _request())
    sent = message.parameters[TRACEPARENT_PARAMETER].string_param
    parameters = read_parameters(json.dumps({TRACEPARENT_PARAMETER: sent}))
    arrays = {
        "input_ids": np.array([[1, 2]], np.int32),
        "request_output_len": np.array([[5]], np.int32),
    }
    limits = ModelLimits(100, frozenset(), frozenset())
    read = decode_request(arrays, request_id="r", parameters=parameters, limits=limits)
    assert isinstance(read, GenerationRequest)
    assert read.traceparent == str(_PARENT)


def test_without_a_context_nothing_travels() -> None:
    message = encode_request(Target("m", 3), _request(traceparent=None))
    assert TRACEPARENT_PARAMETER not in message.parameters
    assert read_parameters("{}") == Parameters()


@pytest.mark.parametrize("value", ["nonsense", 7, "00-0-0-01"])
def test_a_context_that_is_none_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_parameters(json.dumps({TRACEPARENT_PARAMETER: value}))
    assert caught.value.field == TRACEPARENT_PARAMETER
