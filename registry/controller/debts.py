"""Writes what follows from a release state to the registry: aliases, version tags, history."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from enginehouse.registry.controller.report import release_report
from enginehouse.registry.history import History, measures_of
from enginehouse.registry.records import CHAMPION, PREVIOUS
from enginehouse.registry.release_state import (
    CHALLENGER,
    TAG_GATES,
    TAG_REFUSED,
    TAG_SERVED,
    Owed,
    ReleaseState,
)
from enginehouse.registry.rollouts.state import Phase
from enginehouse.registry.store import Registry

_OURS = (CHAMPION, CHALLENGER, PREVIOUS)


class Debts:
    """Writes aliases, tags and events; all writes are idempotent."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._history = History(registry)

    def pay(self, model: str, state: ReleaseState) -> None:
        """Write the state's aliases, and every event that the history does not have.

        Raises:
            RegistryError: if MLflow rejects a request or does not answer; call again.
        """
        if state.owed_aliases:
            self._aliases(model, state)
        for owed in state.owed:
            self._event(model, owed)

    def refuse(self, model: str, version: int, why: str) -> None:
        """Record on the version why it was rejected, for the user who moved the alias.

        Raises:
            RegistryError: if MLflow rejects the request or does not answer.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._registry.set_version_tag(model, version, TAG_REFUSED, f"{at}: {why}")

    def _aliases(self, model: str, state: ReleaseState) -> None:
        found = self._registry.snapshot()[model].aliases
        for alias in _OURS:
            wanted = state.aliases.get(alias)
            if wanted is None and alias in found:
                self._registry.delete_alias(model, alias)
            elif wanted is not None and found.get(alias) != wanted:
                self._registry.set_alias(model, alias, wanted)

    def _event(self, model: str, owed: Owed) -> None:
        status = owed.status
        run = self._history.open(status, owed.kind)
        measures = {k: v for r in owed.analyses for k, v in measures_of(r).items()}
        measures |= {f"gate.{g.name}.{k}": v for g in owed.gates for k, v in g.numbers.items()}
        self._history.log(run, owed.event.model_copy(update={"measures": measures}))
        if status.phase.active:
            return
        if status.phase is Phase.ABORTED:
            self.refuse(model, status.challenger, status.abort_reason or owed.event.reason)
        elif status.phase is Phase.SUCCEEDED:
            self._registry.delete_version_tag(model, status.challenger, TAG_REFUSED)
            at = datetime.fromtimestamp(owed.event.at, UTC).isoformat(timespec="seconds")
            self._registry.set_version_tag(model, status.challenger, TAG_SERVED, at)
        if owed.gates:
            gates = json.dumps([gate.model_dump(mode="json") for gate in owed.gates])
            self._registry.set_version_tag(model, status.challenger, TAG_GATES, gates)
        self._history.close(run, status.phase.value, release_report(owed))
