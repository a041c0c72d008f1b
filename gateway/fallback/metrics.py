"""Metrics of fallback chains."""

from __future__ import annotations

from enginehouse.gateway.fallback.breaker import BreakerState
from prometheus_client import CollectorRegistry, Counter, Gauge

_NAMESPACE = "enginehouse"
_LEVELS = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


class FallbackMetrics:
    """Attempts, hedges and circuits. Targets are named in the configuration, so they are few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: Label `outcome`: answered, failed, skipped (its circuit is open), dropped (another target
        #: was faster, or the caller disconnected).
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
        """Record the state of a target's circuit."""
        self._open.labels(target).set(_LEVELS[state])
