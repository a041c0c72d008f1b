"""Prometheus metrics of whole calls, from the caller's point of view.

A call includes the time in queues and filters, and may be answered from the cache; `ApiMetrics`
counts attempts at an engine. Latencies are exported only here, with the names, attributes and
buckets of OpenTelemetry's semantic conventions for generative AI (``gen_ai_server_…``) in
Prometheus' form. The labels `version` and `source` are additional: they select one version, or the
answers of the engine alone.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from enginehouse import __version__

_NAMESPACE = "enginehouse"
_GEN_AI = "gen_ai_server"
_GEN_AI_LABELS = [
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "version",
    "source",
]
_DURATION_S = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


class CallMetrics:
    """Counters and histograms of calls and of HTTP responses, on the application's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, labels: list[str]) -> Counter:
            return Counter(name, what, labels, namespace=_NAMESPACE, registry=registry)

        def gen_ai(name: str, what: str, buckets: tuple[float, ...], *more: str) -> Histogram:
            labels = [*_GEN_AI_LABELS, *more]
            return Histogram(f"{_GEN_AI}_{name}", what, labels, buckets=buckets, registry=registry)

        self.requests = counter(
            "requests_by_tenant", "Calls by outcome", ["tenant", "model", "code"]
        )
        self.tokens = counter(
            "tokens_by_tenant", "Tokens of prompts and answers", ["tenant", "model", "kind"]
        )
        self.cost = counter(
            "cost_by_tenant",
            "Cost by the price table, in units of its currency",
            ["tenant", "model"],
        )
        self.answers = counter(
            "answers_by_source",
            "Calls that were answered, by who answered: engine, cache or provider",
            ["model", "version", "source"],
        )
        self.responses = counter(
            "http_responses",
            "HTTP responses, also of requests that were refused before they were a call",
            ["method", "route", "code"],
        )
        self.build = Gauge(
            "build_info", "Which adapter this is", ["version"],
            namespace=_NAMESPACE, registry=registry,
        )  # fmt: skip
        self.build.labels(__version__).set(1)
        self.duration = gen_ai(
            "request_duration_seconds",
            "From the call to the last of its answer",
            _DURATION_S,
            "error_type",
        )
        self.first_token = gen_ai(
            "time_to_first_token_seconds",
            "From the call to the first of its answer, where it was answered",
            _FIRST_TOKEN_S,
        )
        self.per_token = gen_ai(
            "time_per_output_token_seconds",
            "For each token behind the first, where it was answered",
            _PER_TOKEN_S,
        )
