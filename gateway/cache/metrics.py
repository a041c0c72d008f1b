"""Metrics of the response cache."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_NAMESPACE = "enginehouse"


class CacheMetrics:
    """Hits and misses of the cache, its size, and failures of its store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: Label `result`: hit, shared (waited for an identical request), miss, bypass.
        self.lookups = Counter(
            "cache_lookups",
            "Questions by whether their answer was kept; the hit rate is (hit + shared) by all "
            "but bypass",
            ["model", "result"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.entries = Gauge(
            "cache_entries", "Answers in memory", namespace=_NAMESPACE, registry=registry
        )
        self.bytes = Gauge(
            "cache_bytes", "Bytes of answers in memory", namespace=_NAMESPACE, registry=registry
        )
        self.evictions = Counter(
            "cache_evictions",
            "Answers that went because memory was full",
            namespace=_NAMESPACE,
            registry=registry,
        )
        #: Label `during`: get, put, forget.
        self.store_failures = Counter(
            "cache_store_failures",
            "Calls of Redis that failed; each is a question that was not found",
            ["during"],
            namespace=_NAMESPACE,
            registry=registry,
        )
