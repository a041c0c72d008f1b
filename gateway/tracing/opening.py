"""What the adapter needs to observe itself, opened and closed in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enginehouse.api.call import Stage
from enginehouse.gateway.tracing.bounded import BoundedLabels
from enginehouse.gateway.tracing.call_metrics import CallMetrics
from enginehouse.gateway.tracing.config import ObservabilityConfig
from enginehouse.gateway.tracing.measured import Measured
from prometheus_client import CollectorRegistry

from enginehouse.telemetry import Telemetry, open_export

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_SERVICE = "enginehouse-adapter"


@dataclass(frozen=True, slots=True)
class Observability:
    """Stages that observe; those of traces are there only where spans are exported.

    Attributes:
        metrics: also what `AccessLog` counts on.
    """

    metrics: CallMetrics
    tenants: BoundedLabels
    tracer: Tracer | None = None

    def outermost(self) -> Sequence[Stage]:
        """Around everything else."""
        measured = Measured(self.metrics, self.tenants)
        if self.tracer is None:
            return [measured]
        from enginehouse.gateway.tracing.traced import Traced

        return [Traced(self.tracer), measured]

    def step(self, name: str) -> Sequence[Stage]:
        """A span around the stages behind this place."""
        if self.tracer is None:
            return []
        from enginehouse.gateway.tracing.traced import StageSpan

        return [StageSpan(self.tracer, name)]

    def mark(self, event: str) -> Sequence[Stage]:
        """An event when a call comes by this place."""
        if self.tracer is None:
            return []
        from enginehouse.gateway.tracing.traced import SpanEvent

        return [SpanEvent(event)]


@asynccontextmanager
async def open_observability(
    telemetry: Telemetry, config: ObservabilityConfig, registry: CollectorRegistry
) -> AsyncIterator[Observability]:
    """Metrics on the application's registry, and the export of spans if it is wanted."""
    metrics = CallMetrics(registry)
    tenants = BoundedLabels(config.tenant_labels, config.tenants)
    export = open_export(telemetry, _SERVICE)
    try:
        tracer = None if export is None else export.tracer(__name__)
        yield Observability(metrics, tenants, tracer)
    finally:
        if export is not None:
            await asyncio.to_thread(export.close)
