"""Metrics of fallback chains."""

from __future__ import annotations

from enginehouse.gateway.fallback.breaker import BreakerState
from prometheus_client import CollectorRegistry, Counter, Gauge

_NAMESPACE = "enginehouse"
_LEVELS = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


class FallbackMetrics:
    """Who was asked instead of whom; targets are those of the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: outcome: answered, failed, skipped (its circuit is open), dropped (another was faster,
        #: or the caller has gone).
        self.attempts = Counter(
            "fallback_attempts",
            "Attempts of calls with a fallback chain",
            ["chain", "target", "outcome"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.hedges = Counter(
            "fallback_hedges",
            "Second attempts beside a slow first one",
            ["chain"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self.retries = Counter(
            "fallback_provider_retries",
            "Requests to a provider that were sent again",
            ["provider"],
            namespace=_NAMESPACE,
            registry=registry,
        )
        self._open = Gauge(
            "fallback_circuit_open",
            "1 while a target is left alone, 0.5 while it is probed",
            ["target"],
            namespace=_NAMESPACE,
            registry=registry,
        )

    def circuit(self, target: str, state: BreakerState) -> None:
        """A circuit was looked at."""
        self._open.labels(target).set(_LEVELS[state])
