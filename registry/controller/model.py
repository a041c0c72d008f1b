"""The releases of one model: read desired state, decide, persist, apply; one step each tick.

Everything that is written follows from the state's tag, which is written first. After a crash
between two writes, the controller finds in the tag what remains to be written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from enginehouse.registry.controller import transitions
from enginehouse.registry.controller.debts import Debts
from enginehouse.registry.controller.fleet import FleetView
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.controller.preparation import Preparation
from enginehouse.registry.controller.replica_plan import ReplicaTarget
from enginehouse.registry.controller.route_rendering import render_routes
from enginehouse.registry.controller.stored_state import StoredState
from enginehouse.registry.controller.transitions import PROMOTION, ROLLBACK, ROLLOUT, Wish
from enginehouse.registry.controller.watching import Watch
from enginehouse.registry.experiments.store import routes_of, versions_of
from enginehouse.registry.gates.suite import with_overrides
from enginehouse.registry.records import CHAMPION, PREVIOUS
from enginehouse.registry.release_state import (
    CHALLENGER,
    TAG_SERVED,
    ReleaseState,
)
from enginehouse.registry.rollouts.decide import decide
from enginehouse.registry.rollouts.state import (
    GateResult,
    Observation,
    Phase,
    RolloutCommand,
    RolloutStatus,
)
from enginehouse.registry.store import Registry

from enginehouse.errors import EnginehouseError, NotRegisteredError, RolloutError
from enginehouse.settings import ReleaseSettings
from enginehouse.traffic import ExperimentRoute, Routes

_log = logging.getLogger(__name__)
#: Prefix of the loader's error if an engine does not fit into memory.
_OF_MEMORY = "memory:"
#: The actor of a moved alias is not known to the registry.
SOMEBODY = "somebody, by moving an alias"


@dataclass(frozen=True, slots=True)
class Tools:
    """What the releases of all models share."""

    registry: Registry
    placement: Placement
    fleet: FleetView
    settings: ReleaseSettings
    debts: Debts
    watch: Callable[[], Watch]
    prepare: Callable[[RolloutStatus, bool], Preparation]
    publish: Callable[[Routes], None]
    withdraw: Callable[[str], None]
    report: Callable[[str], None]
    epoch: int


class ModelReleases:
    """The releases of one model."""

    def __init__(self, name: str, tools: Tools) -> None:
        self.name = name
        self._tools = tools
        self._state = ReleaseState()
        self._stored = StoredState(name, tools.registry, tools.epoch)
        self._watch = tools.watch()
        self._preparation: Preparation | None = None
        self._embedding: dict[int, bool] = {}
        self._experiments: tuple[ExperimentRoute, ...] = ()

    @property
    def state(self) -> ReleaseState:
        """The state as it was persisted last."""
        return self._state

    def sync(self, aliases: Mapping[str, int], tags: Mapping[str, str], now: float) -> None:
        """Read the registry's state, and apply what users changed.

        Raises:
            LeaseLostError: if a later holder of the lease wrote the state.
            RegistryError: if the state cannot be read or written.
        """
        self._experiments = routes_of(tags)
        overwritten = self._stored.overwritten(tags)
        self._state = self._stored.read(tags)
        if overwritten is not None:
            # Its aliases are written again too, so that the other's are not taken for a user's.
            self._tools.report(
                f"{self.name}: a controller that lost the lease wrote the state of epoch "
                f"{self._state.epoch}; it is undone"
            )
            self._persist(overwritten.model_copy(update={"owed_aliases": True}))
        if self._pay():
            # The view is older than our last write; users' changes are seen at the next read.
            return
        for alias in (CHAMPION, CHALLENGER):
            if aliases.get(alias) != self._state.aliases.get(alias):
                self._alias_moved(alias, aliases.get(alias), now)
        if not self._state.owed_aliases:
            self._persist(self._state.model_copy(update={"aliases": dict(aliases)}))

    def tick(self, now: float) -> None:
        """Do one step of the rollout, and write what follows from the state.

        Raises:
            RegistryError: if the registry does not answer.
        """
        failure = self._tools.fleet.failure(self.name)
        if failure is not None and _OF_MEMORY in failure and self._state.kept:
            self._tools.report(f"{self.name}: kept versions make room, since {failure}")
            self._persist(self._state.model_copy(update={"kept": {}}))
        elif self._state.active is not None:
            self._step(now, None, "", "")
        expired = transitions.expire(self._state, now)
        self._persist(expired.model_copy(update={"problem": self._problem(failure)}))
        self._pay()
        self.publish()

    def wanted(self) -> ReplicaTarget:
        """What every replica has to hold."""
        state = self._state
        versions = set(state.wanted | versions_of(self._experiments))
        active = state.active
        if active is not None and not self._may_load(active):
            # Keep what is loaded, so that a restarted controller unloads nothing.
            here = self._tools.fleet.ready_versions(self.name)
            versions -= {active.challenger} - {state.champion} - set(state.kept) - here
        embedding = state.champion is not None and self._is_embedding(state.champion)
        if embedding:
            # Triton gives requests without a version the highest one, so only one may be loaded.
            versions = {state.pinned} if state.pinned is not None else set()
            if active is not None and not active.abort_reason and self._may_load(active):
                versions = {active.challenger}
        challenger = state.challenger if state.challenger in versions else None
        return ReplicaTarget(
            frozenset(versions),
            state.pinned,
            None if embedding or challenger == state.champion else challenger,
            embedding,
        )

    def publish(self) -> None:
        """Write the routes that follow from the state."""
        state = self._state
        if state.champion is None:
            self._tools.withdraw(self.name)
            return
        ready = self._tools.fleet.ready_versions(self.name)
        self._tools.publish(render_routes(self.name, state, self._experiments, ready))

    def start(self, version: int, wish: Wish, now: float) -> None:
        """Start a rollout.

        Raises:
            RolloutError: if the version cannot be released; nothing has changed.
            RegistryError: if the registry does not answer.
        """
        self._check(version)
        if self._state.champion is None:
            self._persist(transitions.install(self._state, self.name, version, wish, now))
        elif self._is_embedding(self._state.champion):
            raise RolloutError(
                f"{self.name} is an embedding model: vectors of two versions do not go "
                f"together, so it has no canary; use `enginehouse promote {self.name} {version}`"
            )
        else:
            self._begin(version, wish, now, ROLLOUT)

    def promote(self, version: int | None, wish: Wish, now: float) -> None:
        """Make the challenger, or a version, the champion, after its gates.

        Raises:
            RolloutError: if that is not possible; nothing has changed.
            RegistryError: if the registry does not answer.
        """
        active = self._state.active
        if active is not None and version in (None, active.challenger):
            if active.phase is Phase.PREPARING:
                forced = active.model_copy(update={"forced_by": wish.actor})
                self._persist(self._state.model_copy(update={"rollout": forced, "kind": PROMOTION}))
                return
            self.command(RolloutCommand.PROMOTE, wish, now)
            return
        if version is None:
            raise RolloutError(f"{self.name} has no rollout to promote; name a version")
        self._check(version)
        if self._state.champion is None:
            self._persist(transitions.install(self._state, self.name, version, wish, now))
        else:
            self._begin(version, wish, now, PROMOTION)

    def command(self, command: RolloutCommand, wish: Wish, now: float) -> None:
        """Apply a user's command to the rollout in progress.

        Raises:
            RolloutError: if there is none, or its phase does not allow the command.
            RegistryError: if the registry does not answer.
        """
        if self._state.active is None:
            raise RolloutError(f"{self.name} has no rollout under way")
        refusal = self._step(now, command, wish.actor, wish.reason)
        if refusal:
            raise RolloutError(f"{self.name}: {refusal}")

    def rollback(self, to: int | None, wish: Wish, now: float) -> int:
        """Shift all new traffic to `previous`, or to a version; returns the version.

        A loaded version takes over immediately; another one is loaded first.

        Raises:
            RolloutError: if there is nothing to roll back to; nothing has changed.
            RegistryError: if the registry does not answer.
        """
        state = self._state
        target = to if to is not None else self._before()
        if target is None:
            raise RolloutError(
                f"{self.name} has no previous version; name one with --to, see "
                f"`enginehouse versions {self.name}`"
            )
        if target == state.champion and state.active is None:
            raise RolloutError(f"{self.name} version {target} serves already")
        if target == state.champion:
            self.command(RolloutCommand.ABORT, wish, now)
        elif self._tools.fleet.ready_somewhere(self.name, target) and not self._is_embedding(
            target
        ):
            keep_s = self._tools.settings.keep_previous_s
            self._persist(transitions.roll_back(state, self.name, target, wish, now, keep_s))
        else:
            self._check(target)
            self._begin(target, wish, now, ROLLBACK)
        self.publish()
        return target

    def stop(self, actor: str, now: float) -> None:
        """Stop serving the model: removes its alias `champion`.

        Raises:
            RegistryError: if the registry does not answer.
        """
        aliases = {k: v for k, v in self._state.aliases.items() if k not in (CHAMPION, CHALLENGER)}
        after = transitions.stopped(self._state, actor, now)
        self._persist(after.model_copy(update={"aliases": aliases, "owed_aliases": True}))

    def _before(self) -> int | None:
        """The version to roll back to: a rollout's champion, otherwise `previous`."""
        if self._state.active is not None:
            return self._state.champion
        return self._state.aliases.get(PREVIOUS)

    def _begin(self, version: int, wish: Wish, now: float, kind: str) -> None:
        if version == self._state.champion:
            raise RolloutError(f"{self.name} version {version} is the champion already")
        self._persist(transitions.start(self._state, self.name, version, wish, now, kind=kind))

    def _check(self, version: int) -> None:
        reason = self._tools.registry.version(self.name, version).retired
        if reason is not None:
            raise RolloutError(f"{self.name} version {version} is retired: {reason}")

    def _alias_moved(self, alias: str, version: int | None, now: float) -> None:
        """Apply an alias that a user moved; if that is not possible, undo it and record why."""
        state = self._state
        noted = {k: v for k, v in state.aliases.items() if k != alias}
        if version is not None:
            noted[alias] = version
        self._state = state.model_copy(update={"aliases": noted})
        wish = Wish(SOMEBODY, f"alias {alias} moved to {version}")
        try:
            if alias == CHAMPION:
                self._champion_moved(version, wish, now)
            else:
                self._challenger_moved(version, wish, now)
        except (RolloutError, NotRegisteredError) as error:
            self._tools.report(f"{self.name}: alias {alias} moved to {version}: {error}")
            if version is not None:
                self._tools.debts.refuse(self.name, version, str(error))
            kept = {**state.aliases}
            self._persist(state.model_copy(update={"aliases": kept, "owed_aliases": True}))

    def _champion_moved(self, version: int | None, wish: Wish, now: float) -> None:
        state = self._state
        if version is None:
            if state.champion is not None:
                self.stop(wish.actor, now)
        elif version == state.champion:
            self._persist(state)
        elif state.champion is None:
            self._check(version)
            self._persist(transitions.install(state, self.name, version, wish, now))
        elif self._served_before(version):
            self.rollback(version, wish, now)
        else:
            self.promote(version, wish, now)

    def _challenger_moved(self, version: int | None, wish: Wish, now: float) -> None:
        active = self._state.active
        if version is None:
            if active is not None and self._state.kind == ROLLOUT:
                self.command(RolloutCommand.ABORT, wish, now)
        elif active is None or active.challenger != version:
            self.start(version, wish, now)

    def _served_before(self, version: int) -> bool:
        return TAG_SERVED in self._tools.registry.version(self.name, version).tags

    def _step(
        self, now: float, command: RolloutCommand | None, actor: str, reason: str
    ) -> str | None:
        """Observe, decide, persist; returns the reason if a command was refused, or None."""
        state, active = self._state, self._state.active
        if active is None:
            return None
        observation = self._observe(active)
        by = actor
        gates = observation.gates
        passed = gates is not None and all(gate.passed for gate in gates)
        if command is None and active.phase is Phase.PREPARING and active.forced_by and passed:
            # A manual promotion skips the analyses as soon as its gates have passed.
            command, by, reason = RolloutCommand.PROMOTE, active.forced_by, active.reason
        observation = observation.model_copy(
            update={"commanded": command, "actor": by, "reason": reason}
        )
        decision = decide(state.spec, active, observation, now)
        if decision.event == "refused":
            return decision.reason if actor else None
        settings = self._tools.settings
        after = transitions.advance(
            state,
            decision,
            observation=observation,
            keep_s=settings.keep_previous_s,
            drain_s=settings.drain_s,
            actor=by or active.actor,
            now=now,
        )
        self._persist(after)
        if decision.changed:
            self._tools.report(
                f"{self.name} version {active.challenger}: {decision.event}: {decision.reason}"
            )
            self.publish()
        return None

    def _observe(self, active: RolloutStatus) -> Observation:
        observation = self._watch.observe(self._state.spec, active)
        if active.phase is not Phase.PREPARING:
            self._preparation = None
            return observation
        return observation.model_copy(update={"gates": self._prepared(active)})

    def _prepared(self, active: RolloutStatus) -> tuple[GateResult, ...] | None:
        if self._preparation is None or self._preparation.rollout != active.id:
            served = self._served_before(active.challenger)
            self._preparation = self._tools.prepare(active, served)
        results = self._preparation.results()
        if results is None:
            return None
        return with_overrides(results, self._state.overrides, active.actor)

    def _may_load(self, active: RolloutStatus) -> bool:
        if active.phase is not Phase.PREPARING:
            return True
        preparation = self._preparation
        return preparation is not None and preparation.rollout == active.id and preparation.fetched

    def _is_embedding(self, version: int) -> bool:
        """Read from the bundle once; a version that is not available counts as a generator."""
        if version not in self._embedding:
            try:
                bundle = self._tools.placement.bundle(self.name, version)
            except EnginehouseError:
                _log.debug("%s version %d cannot be read yet", self.name, version)
                return False
            self._embedding[version] = bundle.manifest.embedding is not None
        return self._embedding[version]

    def _problem(self, failure: str | None) -> str | None:
        champion = self._state.champion
        if champion is None or self._tools.fleet.ready_somewhere(self.name, champion):
            return None
        return failure

    def _pay(self) -> bool:
        """Write what the state owes; returns whether anything was owed."""
        state = self._state
        if not state.owed_aliases and not state.owed:
            return False
        self._tools.debts.pay(self.name, state)
        self._persist(self._state.model_copy(update={"owed_aliases": False, "owed": ()}))
        return True

    def _persist(self, state: ReleaseState) -> None:
        """Write the state if it changed; everything else follows from it."""
        self._state = self._stored.write(state)
