"""The adapter's Prometheus metrics of attempts at a version.

Latencies are measured once, over the whole call: `gateway/tracing/call_metrics.py`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_NAMESPACE = "enginehouse"


class ApiMetrics:
    """One registry an application, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "requests",
            "Requests by outcome",
            ["model", "version", "endpoint", "code"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.in_flight = Gauge(
            "requests_in_flight",
            "Requests being answered",
            ["model"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.prompt_tokens = Counter(
            "prompt_tokens",
            "Tokens of prompts",
            ["model", "version"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.completion_tokens = Counter(
            "completion_tokens",
            "Tokens of answers",
            ["model", "version"],
            namespace=_NAMESPACE,
            registry=registry,
        )

    def page(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
