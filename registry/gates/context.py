"""What a gate may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enginehouse.registry.rollouts.state import GateResult

from enginehouse.bundle import Bundle

#: Group of entry points with gates of the user's own: ``(GateContext) -> GateResult``.
ENTRY_POINTS = "enginehouse.gates"


@dataclass(frozen=True, slots=True)
class GateContext:
    """A version at the door.

    Attributes:
        champion: the version that serves, and its bundle; None at a first release.
        replicas: gRPC addresses of the replicas on which both are loaded.
    """

    model: str
    version: int
    bundle: Bundle
    champion: int | None
    champion_bundle: Bundle | None
    replicas: tuple[str, ...]


Gate = Callable[[GateContext], GateResult]
