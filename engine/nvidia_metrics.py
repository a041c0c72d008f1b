"""Publishes the loop's statistics under NVIDIA's metric names, for dashboards of NVIDIA's backend.

The names stand beside the engine's own (`triton_metrics`). Families, labels and bucket bounds:
NVIDIA/TensorRT-LLM, `triton_backend/inflight_batcher_llm/src/custom_metrics_reporter/
custom_metrics_reporter.cc` (commit 0d5352f5). Meanings: `model_instance_state.cc` (commit
0c8de69a). A separate thread publishes them, because each value is a call into Triton, for which the
engine must not wait.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from enginehouse.engine.stats import LoopStats

from enginehouse.supervision import start_thread

_Value = Callable[[LoopStats], float]


def _never(_: LoopStats) -> float:
    """Constant 0, for figures that this engine does not have, such as GPU memory."""
    return 0.0


def _resident_bytes(_: LoopStats) -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return float(pages * resource.getpagesize())


def _used_blocks(stats: LoopStats) -> float:
    return float(round(stats.kv_cache_usage * stats.kv_blocks))


#: By family: description, label name, and a function for each value of the label.
GAUGES: Mapping[str, tuple[str, str, Mapping[str, _Value]]] = {
    "nv_trt_llm_request_metrics": (
        "TRT LLM request metrics",
        "request_type",
        {
            "active": lambda s: s.in_flight + s.waiting,
            "max": lambda s: s.max_requests,
            "scheduled": lambda s: s.in_flight,
            "context": lambda s: s.context_requests,
            "waiting": lambda s: s.waiting,
        },
    ),
    "nv_trt_llm_runtime_memory_metrics": (
        "TRT LLM runtime memory metrics",
        "memory_type",
        {"cpu": _resident_bytes, "gpu": _never, "pinned": _never},
    ),
    "nv_trt_llm_kv_cache_block_metrics": (
        "TRT LLM KV cache block metrics",
        "kv_cache_block_type",
        {
            "max": lambda s: s.kv_blocks,
            "free": lambda s: s.kv_blocks - _used_blocks(s),
            "used": _used_blocks,
            "tokens_per": lambda s: s.block_tokens,
            "reused": _never,
            "fraction": lambda s: s.kv_cache_usage,
        },
    ),
    "nv_trt_llm_inflight_batcher_metrics": (
        "TRT LLM inflight_batcher-specific metrics",
        "inflight_batcher_specific_metric",
        {
            "total_context_tokens": lambda s: s.context_tokens,
            "generation_requests": lambda s: s.in_flight - s.paused - s.context_requests,
            "micro_batch_id": _never,
            "paused_requests": lambda s: s.paused,
        },
    ),
    "nv_trt_llm_general_metrics": (
        "General TRT LLM metrics",
        "general_type",
        {"timestamp": lambda _: time.time_ns() // 1000, "iteration_counter": lambda s: s.steps},
    ),
}
#: Disaggregated serving is not supported: these series are always 0.
COUNTERS = {
    "nv_trt_llm_disaggregated_serving_metrics": (
        "TRT LLM disaggregated serving metrics",
        "disaggregated_serving_type",
        ("kv_cache_transfer_ms", "request_count"),
    ),
}
HISTOGRAMS = {
    "nv_llm_input_token_len": "total_input_tokens",
    "nv_llm_output_token_len": "total_output_tokens",
}
BUCKETS = (10.0, 50.0, 100.0, 500.0, 1000.0)


class NvidiaMetrics:
    """Publishes `LoopStats` and the lengths of finished requests."""

    def __init__(self, pb_utils: Any, model: str, version: str, instance: str) -> None:
        """Register the families and start the publishing thread.

        Labels are NVIDIA's. Instances after the first have the additional label `instance`, because
        NVIDIA never has several instances under one name.
        """
        self._labels = {"model": model, "version": version}
        if instance != "0":
            self._labels["instance"] = instance
        # Families must stay referenced, or Triton drops them.
        self._families: list[Any] = []
        self._gauges = self._register_gauges(pb_utils)
        self._register_counters(pb_utils)
        self._lengths = self._register_histograms(pb_utils)
        self._shown: dict[tuple[str, str], float] = {}
        self._news = threading.Condition()
        self._stats: LoopStats | None = None
        self._finished: list[tuple[int, int]] = []
        self._closing = False
        self._thread = start_thread("nvidia-metrics", self._run)

    def publish(self, stats: LoopStats) -> None:
        """Queue the loop's statistics for publication."""
        with self._news:
            self._stats = replace(stats)
            self._news.notify()

    def finished(self, input_tokens: int, output_tokens: int) -> None:
        """Queue the lengths of a finished request for publication."""
        with self._news:
            self._finished.append((input_tokens, output_tokens))
            self._news.notify()

    def close(self) -> None:
        """Publish what is queued and end the thread."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stats or self._finished or self._closing)
                stats, self._stats = self._stats, None
                finished, self._finished = self._finished, []
                closing = self._closing
            for input_tokens, output_tokens in finished:
                self._lengths["nv_llm_input_token_len"].observe(input_tokens)
                self._lengths["nv_llm_output_token_len"].observe(output_tokens)
            if stats is not None:
                self._show(stats)
            if closing:
                return

    def _show(self, stats: LoopStats) -> None:
        for key, (value_of, gauge) in self._gauges.items():
            value = float(value_of(stats))
            if value != self._shown.get(key):
                gauge.set(value)
                self._shown[key] = value

    def _register_gauges(self, pb_utils: Any) -> dict[tuple[str, str], tuple[_Value, Any]]:
        made = {}
        for name, (description, label, figures) in GAUGES.items():
            family = self._family(pb_utils, name, description, pb_utils.MetricFamily.GAUGE)
            for value, figure in figures.items():
                made[name, value] = (figure, family.Metric(labels=self._labels | {label: value}))
        return made

    def _register_counters(self, pb_utils: Any) -> None:
        for name, (description, label, values) in COUNTERS.items():
            family = self._family(pb_utils, name, description, pb_utils.MetricFamily.COUNTER)
            self._families += [family.Metric(labels=self._labels | {label: v}) for v in values]

    def _register_histograms(self, pb_utils: Any) -> dict[str, Any]:
        made = {}
        for name, value in HISTOGRAMS.items():
            kind = pb_utils.MetricFamily.HISTOGRAM
            family = self._family(pb_utils, name, "TRT LLM response metrics", kind)
            labels = self._labels | {"response_metric_type": value}
            made[name] = family.Metric(labels=labels, buckets=list(BUCKETS))
        return made

    def _family(self, pb_utils: Any, name: str, description: str, kind: Any) -> Any:
        family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._families.append(family)
        return family
