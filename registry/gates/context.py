"""The input of a gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enginehouse.registry.rollouts.state import GateResult

from enginehouse.bundle import Bundle

#: Entry point group for gates defined by the user: ``(GateContext) -> GateResult``.
ENTRY_POINTS = "enginehouse.gates"


@dataclass(frozen=True, slots=True)
class GateContext:
    """The version that a gate judges, and what it may compare it with.

    Attributes:
        champion, champion_bundle: the serving version and its bundle; None at the first release.
        replicas: gRPC addresses of the replicas on which both versions are loaded.
    """

    model: str
    version: int
    bundle: Bundle
    champion: int | None
    champion_bundle: Bundle | None
    replicas: tuple[str, ...]


Gate = Callable[[GateContext], GateResult]
