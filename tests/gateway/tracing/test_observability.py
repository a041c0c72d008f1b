from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from enginehouse.api.opened import OpenedStages
from enginehouse.gateway.tracing.config import ObservabilityConfig
from enginehouse.gateway.tracing.opening import Observability, open_observability
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from enginehouse.telemetry import Telemetry
from tests.gateway.tracing.calls import answering, make_call, run
from tests.gateway.tracing.collector import Collector


def _names(observed: Observability) -> list[str]:
    return [type(stage).__name__ for stage in _placed(observed)]


def _placed(observed: Observability) -> list[Any]:
    stages = OpenedStages()
    observed.place(stages)
    return [*stages.asked.in_order(), *stages.prepared.in_order()]


def _opened(telemetry: Telemetry, *, use: bool = False) -> list[str]:
    async def names() -> list[str]:
        opening = open_observability(telemetry, ObservabilityConfig(), CollectorRegistry())
        async with opening as observed:
            if use:
                outer = _placed(observed)[:2]
                await asyncio.to_thread(run, outer, make_call(), answering())
            return _names(observed)

    return asyncio.run(names())


def test_without_a_collector_only_metrics_are_kept() -> None:
    assert _opened(Telemetry()) == ["Measured"]


def test_with_a_collector_spans_are_exported_before_the_end() -> None:
    with Collector() as collector:
        names = _opened(Telemetry(f"{collector.url}/v1/traces"), use=True)
        assert [span.name for span in collector.spans()] == ["chat m"]
        assert collector.services() == {"enginehouse-adapter"}
    assert names == ["Traced", "Measured", "SpanEvent", "StageSpan"]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        ObservabilityConfig.model_validate({"tenant_label": 5})


def test_the_stages_load_no_opentelemetry_where_it_is_off() -> None:
    code = (
        "import sys; import enginehouse.gateway.tracing.opening;"
        "assert 'enginehouse.gateway.tracing.traced' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
