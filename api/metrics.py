"""The adapter's Prometheus metrics of attempts at a version.

Latencies are measured once, over the whole call: `gateway/tracing/call_metrics.py`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from enginehouse.supervision import SUPERVISOR

_NAMESPACE = "enginehouse"


class ApiMetrics:
    """One registry an application, so that tests can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._background_failures = Counter(
            "background_failures",
            "Unexpected errors of background tasks, each of which was started again",
            ["task"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self._shown_failures: dict[str, int] = {}
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
        # Loops of the process outlive an application, and may fail before it is made.
        for task, count in SUPERVISOR.failures().items():
            self._background_failures.labels(task).inc(count - self._shown_failures.get(task, 0))
            self._shown_failures[task] = count
        return generate_latest(self.registry)
