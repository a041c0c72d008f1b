"""Runs all gates of a version in order, and applies overrides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints, entry_points

from enginehouse.registry.gates.context import ENTRY_POINTS, Gate, GateContext
from enginehouse.registry.gates.performance import performance
from enginehouse.registry.gates.quality import quality
from enginehouse.registry.gates.smoke import smoke
from enginehouse.registry.rollouts.state import GateResult, Verdict

from enginehouse.errors import EnginehouseError

_log = logging.getLogger(__name__)
#: Gates that the controller evaluates itself, before the others run.
INTEGRITY = "integrity"
FINGERPRINT = "fingerprint"


def run_gates(context: GateContext, *, served_before: bool) -> tuple[GateResult, ...]:
    """Run the gates of a version that is loaded on all replicas.

    Args:
        served_before: the version was a champion before, so quality and speed are not judged again.
    """
    gates: list[tuple[str, Gate]] = []
    if context.bundle.manifest.embedding is None:
        gates.append(("smoke", smoke))
    if not served_before:
        gates.append(("quality", quality))
        if context.bundle.manifest.embedding is None:
            gates.append(("performance", performance))
        gates += [(entry.name, partial(_users, entry)) for entry in _user_gates()]
    return tuple(_answer(name, gate, context) for name, gate in gates)


def _user_gates() -> EntryPoints:
    return entry_points(group=ENTRY_POINTS)


def _users(entry: EntryPoint, context: GateContext) -> GateResult:
    """Load and run a gate defined by the user."""
    gate: Gate = entry.load()
    return gate(context)


def with_overrides(
    results: tuple[GateResult, ...], overrides: Mapping[str, str], actor: str
) -> tuple[GateResult, ...]:
    """Mark results that a user overrides with the actor and the reason.

    Integrity and fingerprint have no override: the files served must be those in the registry.
    """
    return tuple(
        result.model_copy(
            update={"overridden_by": actor, "override_reason": overrides[result.name]}
        )
        if result.name in overrides
        and result.name not in {INTEGRITY, FINGERPRINT}
        and result.verdict is not Verdict.PASS
        else result
        for result in results
    )


def _answer(name: str, gate: Gate, context: GateContext) -> GateResult:
    try:
        result = gate(context)
    except EnginehouseError as error:
        return GateResult(name=name, verdict=Verdict.ERROR, reason=str(error))
    except Exception as error:  # noqa: BLE001 - a gate of the user's own may raise anything
        _log.exception("the gate %s failed", name)
        reason = f"the gate itself failed: {type(error).__name__}: {error}"
        return GateResult(name=name, verdict=Verdict.ERROR, reason=reason)
    return result.model_copy(update={"name": name})
