"""Telemetry settings, trace contexts and span export.

The adapter and the engine read the same variables, because both are started with the same
environment:

- ``ENGINEHOUSE_OTLP_ENDPOINT``: base URL of an OpenTelemetry collector (OTLP over HTTP), for
  example ``http://127.0.0.1:4318``; without it no spans are recorded.
- ``ENGINEHOUSE_OTLP_SHARE``: share of the traces started here that are sampled, from 0 to 1.
- ``ENGINEHOUSE_LOG_FORMAT``: ``text`` or ``json``.
- ``ENGINEHOUSE_ACCESS_LOG``: ``true`` writes a line for each request.

OpenTelemetry is imported only if spans are recorded. Its global provider is not used, because that
is MLflow's.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from enginehouse.settings import TelemetrySettings, read

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

_TRACES_PATH = "/v1/traces"
_SAMPLED = 0x01
# Versions after 00 may have more fields after these four.
_TRACEPARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
# A collector that hangs must not block the span queue or the end of the process.
_EXPORT_TIMEOUT_S = 3.0
_CLOSING_PATIENCE_S = 2.0
_MOST_ATTRIBUTE_CHARACTERS = 256


class LogFormat(StrEnum):
    """Format of the adapter's log lines."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Telemetry settings of one process.

    Attributes:
        traces_url: where spans are sent; None disables them.
        share: sampled share of the traces that start here, 0 to 1; a caller's decision is kept.
        access_log: whether each request is logged.
    """

    traces_url: str | None = None
    share: float = 1.0
    log_format: LogFormat = LogFormat.TEXT
    access_log: bool = False


def read_telemetry(environ: Mapping[str, str]) -> Telemetry:
    """Read the settings from an environment.

    Raises:
        SettingsError: names the variable, its value and what it accepts.
    """
    found = read(TelemetrySettings, environ)
    return Telemetry(
        traces_url=_traces_url(found.otlp_endpoint),
        share=found.otlp_share,
        log_format=LogFormat(found.log_format),
        access_log=found.access_log,
    )


def _traces_url(endpoint: str | None) -> str | None:
    if endpoint is None:
        return None
    base = endpoint.rstrip("/")
    return base if base.endswith(_TRACES_PATH) else base + _TRACES_PATH


@dataclass(frozen=True, slots=True)
class TraceParent:
    """W3C `traceparent`: a trace, and the parent span in it.

    Attributes:
        trace_id, span_id: above 0, with 128 and 64 bits.
        sampled: whether the trace is sampled.
    """

    trace_id: int
    span_id: int
    sampled: bool

    @classmethod
    def parse(cls, text: str) -> TraceParent | None:
        """Parse the header's value; None if it is invalid."""
        found = _TRACEPARENT.fullmatch(text)
        if found is None or (found["more"] and found["version"] == "00"):
            return None
        flags = int(found["flags"], 16)
        return cls(int(found["trace"], 16), int(found["span"], 16), bool(flags & _SAMPLED))

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{_SAMPLED if self.sampled else 0:02x}"

    def context(self) -> Context:
        """OpenTelemetry context with this span as the parent."""
        from opentelemetry.trace import (
            NonRecordingSpan,
            SpanContext,
            TraceFlags,
            set_span_in_context,
        )

        flags = TraceFlags(TraceFlags.SAMPLED if self.sampled else TraceFlags.DEFAULT)
        parent = SpanContext(self.trace_id, self.span_id, is_remote=True, trace_flags=flags)
        return set_span_in_context(NonRecordingSpan(parent))


class SpanExport:
    """Creates tracers, and exports spans in batches from a background thread."""

    def __init__(self, provider: TracerProvider, exporter: SpanExporter) -> None:
        self._provider = provider
        self._exporter = exporter

    def tracer(self, name: str) -> Tracer:
        """A tracer for one module."""
        return self._provider.get_tracer(name)

    def close(self) -> None:
        """Export the remaining spans; blocks at most some seconds if the collector is down."""
        patience = threading.Timer(_CLOSING_PATIENCE_S, self._exporter.shutdown)
        patience.daemon = True
        patience.start()
        self._provider.shutdown()
        patience.cancel()


def open_export(telemetry: Telemetry, service: str) -> SpanExport | None:
    """Start exporting spans; None if they are disabled. The caller has to close the result.

    Args:
        service: OpenTelemetry's `service.name`.
    """
    if telemetry.traces_url is None:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(telemetry.share)),
        resource=Resource.create({"service.name": service}),
        span_limits=SpanLimits(max_attribute_length=_MOST_ATTRIBUTE_CHARACTERS),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(telemetry.traces_url, timeout=_EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return SpanExport(provider, exporter)
