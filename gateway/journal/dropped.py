"""The metric of what is written beside requests and came too fast."""

from __future__ import annotations

from enginehouse.api.registration import Opening
from prometheus_client import CollectorRegistry, Counter


class DroppedAsides:
    """Counts what was dropped, by its kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._dropped = Counter(
            "asides_dropped",
            "Lines of the journal and traces that came faster than they could be written",
            ["what"],
            namespace="enginehouse",
            registry=registry,
        )

    def of(self, what: str) -> Counter:
        """The counter of one kind."""
        return self._dropped.labels(what)


def shared_dropped(opening: Opening) -> DroppedAsides:
    """The metric of this adapter, made by the first stage that asks."""
    return opening.services.made(DroppedAsides, lambda: DroppedAsides(opening.registry))
