"""Metrics of the audit trail itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_PREFIX = "enginehouse_audit"


class AuditMetrics:
    """Counters of one adapter's trail; they have no labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.written = Counter(f"{_PREFIX}_written", "Records written", registry=registry)
        self.lost = Counter(
            f"{_PREFIX}_lost", "Records that could not be written", registry=registry
        )
        self.failures = Counter(f"{_PREFIX}_failures", "Writes that failed", registry=registry)
        self.failing = Gauge(
            f"{_PREFIX}_failing", "1 while the trail cannot be written", registry=registry
        )
