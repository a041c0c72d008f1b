"""Metrics of content filters.

The label `rule` has few values: rules are named in the configuration.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_NAMESPACE = "enginehouse"


class ContentMetrics:
    """Matches, failed judgements, and the time to filter a prompt."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.verdicts = Counter(
            "content_verdicts",
            "Things that content rules found",
            ["stage", "rule", "action"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.failures = Counter(
            "content_failures",
            "Texts for which a content filter gave no verdict",
            ["stage", "rule"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.input_seconds = Histogram(
            "content_input_seconds",
            "Time that the filters of a prompt take",
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=registry,
        )
