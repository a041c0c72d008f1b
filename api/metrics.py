"""The adapter's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FINE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5)


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
        self.first_token = Histogram(
            "time_to_first_token_seconds",
            "From the request to its first token",
            ["model", "version"],
            buckets=_SECONDS,
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.inter_token = Histogram(
            "inter_token_latency_seconds",
            "Between two tokens; tokens of one response share their wait",
            ["model", "version"],
            buckets=_FINE_SECONDS,
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.duration = Histogram(
            "request_duration_seconds",
            "From the request to its last token",
            ["model", "version"],
            buckets=_SECONDS,
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
