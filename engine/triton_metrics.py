"""Publishes the loop's statistics on Triton's metrics page."""

from __future__ import annotations

from typing import Any

from enginehouse.engine.stats import LoopStats

_GAUGES = {
    "enginehouse_engine_requests_in_flight": ("Requests in the batch", "in_flight"),
    "enginehouse_engine_requests_waiting": ("Requests waiting for a slot in the batch", "waiting"),
    "enginehouse_engine_kv_cache_usage_ratio": (
        "Share of KV cache blocks in use",
        "kv_cache_usage",
    ),
    "enginehouse_engine_step_seconds_max": (
        "Longest scheduling step since the last publication",
        "step_seconds_max",
    ),
    "enginehouse_engine_draft_acceptance_ratio": (
        "Accepted draft tokens divided by the maximum that could have been drafted",
        "draft_acceptance",
    ),
}
_COUNTERS = {
    "enginehouse_engine_steps_total": ("Scheduling steps", "steps"),
    "enginehouse_engine_step_seconds_total": ("Time in scheduling steps", "step_seconds"),
    "enginehouse_engine_prompt_tokens_total": ("Prompt tokens admitted", "prompt_tokens"),
    "enginehouse_engine_generated_tokens_total": ("Tokens generated", "generated_tokens"),
    "enginehouse_engine_requests_completed_total": ("Requests completed", "completed"),
    "enginehouse_engine_requests_cancelled_total": ("Requests cancelled", "cancelled"),
    "enginehouse_engine_requests_failed_total": ("Requests failed", "failed"),
    "enginehouse_engine_requests_rejected_total": ("Requests refused: queue full", "rejected"),
    "enginehouse_engine_draft_steps_total": ("Speculative steps of a request", "draft_steps"),
    "enginehouse_engine_draft_tokens_accepted_total": (
        "Draft tokens accepted",
        "accepted_draft_tokens",
    ),
    "enginehouse_guide_violations_total": (
        "Finished answers that violate their JSON Schema",
        "guide_violations",
    ),
    "enginehouse_engine_recoveries_total": ("Failed steps that were recovered from", "recoveries"),
}


class TritonMetrics:
    """Publishes `LoopStats`. It keeps a reference to each family, without which Triton drops it."""

    def __init__(self, pb_utils: Any, model: str, version: str, instance: str) -> None:
        """Register the families with labels `model`, `version` and `instance`."""
        labels = {"model": model, "version": version, "instance": instance}
        self._families: list[Any] = []
        self._gauges = self._register(pb_utils, pb_utils.MetricFamily.GAUGE, _GAUGES, labels)
        self._counters = self._register(pb_utils, pb_utils.MetricFamily.COUNTER, _COUNTERS, labels)
        self._shown = dict.fromkeys((*self._gauges, *self._counters), 0.0)

    def _register(
        self, pb_utils: Any, kind: Any, table: dict[str, tuple[str, str]], labels: dict[str, str]
    ) -> dict[str, Any]:
        metrics = {}
        for name, (description, attribute) in table.items():
            family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
            self._families.append(family)
            metrics[attribute] = family.Metric(labels=labels)
        return metrics

    def publish(self, stats: LoopStats) -> None:
        """Update the metrics that have changed."""
        for attribute, gauge in self._gauges.items():
            value = float(getattr(stats, attribute))
            # Each update is a call into Triton, during which the engine does not work.
            if value != self._shown[attribute]:
                gauge.set(value)
                self._shown[attribute] = value
        for attribute, counter in self._counters.items():
            value = float(getattr(stats, attribute))
            if value > self._shown[attribute]:
                counter.increment(value - self._shown[attribute])
                self._shown[attribute] = value
