"""Metrics of the ledger itself."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

_PREFIX = "enginehouse_ledger"


class LedgerMetrics:
    """Counters of one adapter's ledger; they have no labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", meaning, registry=registry)

        self.written = counter("written", "Records that the database took; repeated ones count not")
        self.spooled = counter("spooled", "Records that went to the spool, on their way there")
        self.lost = counter("lost", "Records that neither took: their numbers are in the log")
        self.damaged = counter("damaged", "Lines of the spool that are not records")
        self.failures = counter("failures", "Transactions that failed")
        self.failing = Gauge(
            f"{_PREFIX}_failing", "1 while the database takes no records", registry=registry
        )
