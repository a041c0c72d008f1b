"""Metrics of limits and of the queue in front of the engine."""

from __future__ import annotations

from enginehouse.gateway.limits.labels import TenantLabels
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_NAMESPACE = "enginehouse"


class LimitMetrics:
    """What was refused, who waits, and how the shared store does."""

    def __init__(self, registry: CollectorRegistry, tenants: TenantLabels) -> None:
        self._tenants = tenants
        self._queue_time = Histogram(
            "queue_seconds",
            "Wait of calls in front of the engine",
            ["tenant"],
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "queue_depth",
            "Calls that wait in front of the engine, by priority class",
            ["priority"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.slots_used = Gauge(
            "slots_used",
            "Answers that this adapter has in the engine",
            namespace=_NAMESPACE,
            registry=registry,
        )
        #: kind: of the limit, as in the endpoint's file, or queue.
        self._refused = Counter(
            "limit_refusals",
            "Calls refused by a limit",
            ["tenant", "kind"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.store_failures = Counter(
            "limit_store_failures",
            "Calls of the shared store of limits that failed",
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.store_away = Gauge(
            "limit_store_away",
            "1 while limits are not shared with other adapters because the store does not answer",
            namespace=_NAMESPACE,
            registry=registry,
        )

    def refused(self, tenant: str, kind: str) -> None:
        """Count a refusal."""
        self._refused.labels(self._tenants.of(tenant), kind).inc()

    def waited(self, tenant: str, seconds: float) -> None:
        """Count a call that the engine takes, after its wait."""
        self._queue_time.labels(self._tenants.of(tenant)).observe(seconds)
