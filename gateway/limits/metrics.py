"""Metrics of limits and of the queue in front of the engine."""

from __future__ import annotations

from enginehouse.gateway.limits.labels import TenantLabels
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_NAMESPACE = "enginehouse"


class LimitMetrics:
    """Rejected calls, queue wait and depth, and failures of the shared store."""

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
        #: Label `kind`: the limit's name in the endpoint's file, or queue.
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
        """Count a rejected call."""
        self._refused.labels(self._tenants.of(tenant), kind).inc()

    def waited(self, tenant: str, seconds: float) -> None:
        """Record the queue wait of a call that was given to the engine."""
        self._queue_time.labels(self._tenants.of(tenant)).observe(seconds)
