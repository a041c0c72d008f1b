"""What the adapter needs to observe itself, opened and closed in one place."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enginehouse.api.opened import OpenedStages
from enginehouse.api.registration import Opening
from enginehouse.gateway.tracing.bounded import BoundedLabels
from enginehouse.gateway.tracing.call_metrics import CallMetrics
from enginehouse.gateway.tracing.config import ObservabilityConfig
from enginehouse.gateway.tracing.measured import Measured

from enginehouse.telemetry import Telemetry, open_export, read_telemetry

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer
    from prometheus_client import CollectorRegistry

_SERVICE = "enginehouse-adapter"


@dataclass(frozen=True, slots=True)
class Observability:
    """Stages that observe; those of traces are there only where spans are exported."""

    metrics: CallMetrics
    tenants: BoundedLabels
    tracer: Tracer | None = None

    def place(self, stages: OpenedStages) -> None:
        """Put the stages into their places: spans outermost, and around the engine."""
        stages.asked.add(11, Measured(self.metrics, self.tenants))
        if self.tracer is None:
            return
        from enginehouse.gateway.tracing.traced import SpanEvent, StageSpan, Traced

        stages.asked.add(10, Traced(self.tracer))
        stages.prepared.add(10, SpanEvent("prepared"))
        stages.prepared.add(90, StageSpan(self.tracer, "engine"))


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


@asynccontextmanager
async def open_stage(opening: Opening) -> AsyncIterator[None]:
    """The stage `observability`, in its places until the block ends.

    Raises:
        SettingsError: if a variable of OpenTelemetry cannot be used.
    """
    telemetry = read_telemetry(os.environ)
    async with open_observability(telemetry, opening.configured, opening.registry) as observed:
        observed.place(opening.stages)
        opening.app.state.call_metrics = observed.metrics
        yield
