"""Metrics of shadow copies."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from enginehouse.traffic.comparison import Comparison

_LABELS = ["model", "version"]
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_RATIOS = (0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.11, 1.25, 1.5, 2.0, 4.0)


class ShadowMetrics:
    """Numbers of copies by how they ended, and similarity of the compared answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, label: str) -> Counter:
            return Counter(
                name, text, [*_LABELS, label], namespace="enginehouse", registry=registry
            )

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                name, text, _LABELS, buckets=buckets, namespace="enginehouse", registry=registry
            )

        #: Label `end`: compared, failed, late; or not started: busy, away.
        self.copies = counter("shadow_copies", "Copies of requests, by what became of them", "end")
        #: Label `in`: exact, finish, json.
        self.alike = counter("shadow_alike", "Compared pairs that are alike in something", "in")
        self.similarity = histogram(
            "shadow_similarity", "Share of words that both answers have in order", _SHARES
        )
        self.length_ratio = histogram(
            "shadow_length_ratio", "Words of the shadow's answer by the champion's", _RATIOS
        )

    def compared(self, model: str, version: str, found: Comparison) -> None:
        """Record a compared pair."""
        self.copies.labels(model, version, "compared").inc()
        for what, alike in (
            ("exact", found.exact),
            ("finish", found.same_finish),
            ("json", found.same_json),
        ):
            self.alike.labels(model, version, what).inc(int(alike))
        self.similarity.labels(model, version).observe(found.similarity)
        self.length_ratio.labels(model, version).observe(found.length_ratio)
