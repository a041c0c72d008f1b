"""Series under NVIDIA's names: families, labels, figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from enginehouse.engine.nvidia_metrics import BUCKETS, NvidiaMetrics
from enginehouse.engine.stats import LoopStats


@dataclass
class Page:
    """A stand-in for Triton's metrics: family → labels → value, or observed values."""

    series: dict[str, dict[frozenset[tuple[str, str]], list[float]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def utils(self) -> Any:
        page = self

        class Metric:
            def __init__(self, values: list[float]) -> None:
                self._values = values

            def set(self, value: float) -> None:
                self._values[:] = [value]

            def observe(self, value: float) -> None:
                self._values.append(value)

        class MetricFamily:
            GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"

            def __init__(self, *, name: str, description: str, kind: str) -> None:
                assert description
                self._name = name
                page.kinds[name] = kind
                page.series[name] = {}

            def Metric(self, *, labels: dict[str, str], buckets: Any = None) -> Metric:  # noqa: N802
                assert (buckets == list(BUCKETS)) == (page.kinds[self._name] == self.HISTOGRAM)
                values = page.series[self._name][frozenset(labels.items())] = []
                return Metric(values)

        return SimpleNamespace(MetricFamily=MetricFamily)

    def value(self, family: str, label: str, value: str) -> list[float]:
        return next(v for k, v in self.series[family].items() if (label, value) in k)


def _published(*stats: LoopStats, instance: str = "0", lengths: Any = ()) -> Page:
    page = Page()
    metrics = NvidiaMetrics(page.utils(), "m.tensorrt_llm", "3", instance)
    for each in stats:
        metrics.publish(each)
    for pair in lengths:
        metrics.finished(*pair)
    metrics.close()
    return page


@pytest.mark.parametrize(
    ("family", "label", "values"),
    [
        (
            "nv_trt_llm_request_metrics",
            "request_type",
            {"active": 8, "max": 64, "scheduled": 5, "context": 2, "waiting": 3},
        ),
        (
            "nv_trt_llm_kv_cache_block_metrics",
            "kv_cache_block_type",
            {"max": 100, "free": 75, "used": 25, "tokens_per": 32, "reused": 0, "fraction": 0.25},
        ),
        (
            "nv_trt_llm_inflight_batcher_metrics",
            "inflight_batcher_specific_metric",
            {
                "total_context_tokens": 17,
                "generation_requests": 2,
                "micro_batch_id": 0,
                "paused_requests": 1,
            },
        ),
    ],
)
def test_gauges_have_the_vendors_labels_and_our_figures(
    family: str, label: str, values: dict[str, float]
) -> None:
    stats = LoopStats(
        in_flight=5,
        waiting=3,
        kv_cache_usage=0.25,
        steps=9,
        context_requests=2,
        context_tokens=17,
        paused=1,
        max_requests=64,
        block_tokens=32,
        kv_blocks=100,
    )
    page = _published(stats)
    assert page.kinds[family] == "gauge"
    assert {v: page.value(family, label, v) for v in values} == {
        name: [value] for name, value in values.items()
    }
    assert page.value("nv_trt_llm_general_metrics", "general_type", "iteration_counter") == [9]
    (memory,) = page.value("nv_trt_llm_runtime_memory_metrics", "memory_type", "cpu")
    assert memory > 2**20


def test_labels_are_exactly_the_vendors_for_the_first_instance() -> None:
    for instance, extra in (("0", set()), ("1", {"instance"})):
        page = _published(instance=instance)
        for series in page.series.values():
            for labels in series:
                names = {name for name, _ in labels}
                assert {"model", "version"} | extra < names
                assert len(names) == 3 + len(extra)


def test_lengths_of_finished_requests_are_observed() -> None:
    page = _published(lengths=[(12, 40), (3, 7)])
    observed = page.value("nv_llm_input_token_len", "response_metric_type", "total_input_tokens")
    assert observed == [12, 3]
    written = page.value("nv_llm_output_token_len", "response_metric_type", "total_output_tokens")
    assert written == [40, 7]
