"""Transitions of a model's release state: pure functions from state to state.

`decide` moves one rollout; these functions derive the champion, the aliases, the versions that stay
loaded and the events for the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enginehouse.registry.records import CHAMPION, PREVIOUS
from enginehouse.registry.release_state import CHALLENGER, Owed, ReleaseEvent, ReleaseState
from enginehouse.registry.rollouts.spec import RolloutSpec
from enginehouse.registry.rollouts.state import (
    Decision,
    Observation,
    Phase,
    RolloutStatus,
    begin,
)

#: Kinds of releases.
INSTALL = "install"
ROLLOUT = "rollout"
PROMOTION = "promotion"
ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Wish:
    """Actor, reason and overrides of a requested release.

    Attributes:
        overrides: gate → reason for overriding it.
    """

    actor: str
    reason: str = ""
    spec: RolloutSpec = field(default_factory=RolloutSpec)
    overrides: Mapping[str, str] | None = None


def install(state: ReleaseState, model: str, version: int, wish: Wish, now: float) -> ReleaseState:
    """Set the first champion; there is nothing to compare it with."""
    status = _begun(model, version, version, wish, now)
    status = status.model_copy(update=_done(now))
    after = state.model_copy(
        update={
            "champion": version,
            "rollout": status,
            "kind": INSTALL,
            "gates": (),
            "analyses": (),
            "problem": None,
            "kept": _without(state.kept, version),
            "aliases": _aliases(state.aliases, champion=version),
            "owed_aliases": True,
        }
    )
    return _event(after, INSTALL, "install", wish.actor, wish.reason, now)


def start(
    state: ReleaseState, model: str, version: int, wish: Wish, now: float, *, kind: str = ROLLOUT
) -> ReleaseState:
    """Start a rollout, or a promotion or rollback that has to load its version first.

    A release in progress is aborted: a new challenger starts from the beginning.
    """
    champion = state.champion
    if champion is None:
        raise ValueError("a first champion is installed, not rolled out")
    state = superseded(state, f"version {version} took its place", wish.actor, now)
    status = _begun(model, champion, version, wish, now)
    if kind != ROLLOUT:
        status = status.model_copy(update={"forced_by": wish.actor})
    aliases = dict(state.aliases)
    if kind == ROLLOUT:
        aliases[CHALLENGER] = version
    after = state.model_copy(
        update={
            "rollout": status,
            "kind": kind,
            "spec": wish.spec,
            "overrides": dict(wish.overrides or {}),
            "gates": (),
            "analyses": (),
            "kept": _without(state.kept, version),
            "aliases": aliases,
            "owed_aliases": True,
        }
    )
    return _event(after, kind, "start", wish.actor, wish.reason, now)


def superseded(state: ReleaseState, why: str, actor: str, now: float) -> ReleaseState:
    """End the release in progress, with its traffic back on the champion."""
    active = state.active
    if active is None:
        return state
    ended = active.model_copy(
        update={"phase": Phase.ABORTED, "weight": 0, "ended_at": now, "abort_reason": why}
    )
    after = _aborted(state.model_copy(update={"rollout": ended}), ended, now, 0.0)
    return _event(after, state.kind, "abort", actor, why, now)


def advance(
    state: ReleaseState,
    decision: Decision,
    *,
    observation: Observation,
    keep_s: float,
    drain_s: float,
    actor: str,
    now: float,
) -> ReleaseState:
    """Apply a decision of `decide`."""
    status = decision.status
    before = state.rollout
    after = state.model_copy(
        update={
            "rollout": status,
            "gates": observation.gates if observation.gates is not None else state.gates,
            "analyses": observation.analyses or state.analyses,
        }
    )
    if before is not None and status.phase is not before.phase:
        if status.phase is Phase.SUCCEEDED:
            after = _succeeded(after, status, now, keep_s)
        elif status.phase is Phase.ABORTED:
            after = _aborted(after, status, now, drain_s)
    if not decision.changed:
        return after
    return _event(after, state.kind, decision.event, actor, decision.reason, now)


def roll_back(
    state: ReleaseState, model: str, version: int, wish: Wish, now: float, keep_s: float
) -> ReleaseState:
    """Shift all new traffic to a loaded version immediately."""
    champion = state.champion
    if champion is None:
        raise ValueError("nothing serves")
    state = superseded(state, f"rolled back to version {version}", wish.actor, now)
    status = _begun(model, champion, version, wish, now)
    status = status.model_copy(update={**_done(now), "forced_by": wish.actor})
    after = _succeeded(
        state.model_copy(update={"rollout": status, "kind": ROLLBACK, "gates": (), "analyses": ()}),
        status,
        now,
        keep_s,
    )
    # A second rollback would undo the first: it has to name its version.
    after = after.model_copy(update={"aliases": _without_alias(after.aliases, PREVIOUS)})
    return _event(after, ROLLBACK, "rollback", wish.actor, wish.reason, now)


def stopped(state: ReleaseState, actor: str, now: float) -> ReleaseState:
    """Stop serving the model."""
    state = superseded(state, "the model is not served any more", actor, now)
    status = state.rollout
    after = state.model_copy(update={"champion": None, "kept": {}, "problem": None})
    if status is None:
        return after
    return _event(after, state.kind, "stop", actor, "its champion was taken away", now)


def expire(state: ReleaseState, now: float) -> ReleaseState:
    """Release versions whose time to stay loaded has passed."""
    kept = {version: until for version, until in state.kept.items() if until > now}
    return state if kept == state.kept else state.model_copy(update={"kept": kept})


def _begun(model: str, champion: int, version: int, wish: Wish, now: float) -> RolloutStatus:
    """A new release; its id includes milliseconds, so that ids are unique."""
    release = f"{model}-{version}-{int(now * 1000)}"
    return begin(release, model, champion, version, now, wish.actor, wish.reason)


def _done(now: float) -> dict[str, object]:
    """Updates that mark a release as having all traffic."""
    return {"phase": Phase.SUCCEEDED, "weight": 100, "ended_at": now}


def _succeeded(
    state: ReleaseState, status: RolloutStatus, now: float, keep_s: float
) -> ReleaseState:
    old, new = status.champion, status.challenger
    return state.model_copy(
        update={
            "champion": new,
            "problem": None,
            "kept": _without(state.kept, new) | {old: now + keep_s},
            "aliases": _without_alias(
                _aliases(state.aliases, champion=new, previous=old), CHALLENGER
            ),
            "owed_aliases": True,
        }
    )


def _aborted(
    state: ReleaseState, status: RolloutStatus, now: float, drain_s: float
) -> ReleaseState:
    aliases = _without_alias(state.aliases, CHALLENGER)
    if state.champion is not None:
        # Restore the alias `champion` that was moved to a rejected version.
        aliases = _aliases(aliases, champion=state.champion)
    kept = dict(state.kept)
    if status.challenger != state.champion:
        kept[status.challenger] = max(kept.get(status.challenger, 0.0), now + drain_s)
    return state.model_copy(update={"kept": kept, "aliases": aliases, "owed_aliases": True})


def _event(
    state: ReleaseState, kind: str, what: str, actor: str, reason: str, now: float
) -> ReleaseState:
    status = state.rollout
    if status is None:
        return state
    event = ReleaseEvent(
        # Two events of one write need different numbers.
        number=(state.generation + 1) * 10 + len(state.owed) % 10,
        at=now,
        kind=what,
        phase=status.phase.value,
        weights=state.weights,
        reason=reason,
        actor=actor,
    )
    owed = Owed(kind=kind, status=status, event=event, gates=state.gates, analyses=state.analyses)
    return state.model_copy(update={"owed": (*state.owed, owed)})


def _aliases(
    aliases: Mapping[str, int], *, champion: int, previous: int | None = None
) -> dict[str, int]:
    changed = {**aliases, CHAMPION: champion}
    if previous is not None:
        changed[PREVIOUS] = previous
    return changed


def _without_alias(aliases: Mapping[str, int], name: str) -> dict[str, int]:
    return {key: value for key, value in aliases.items() if key != name}


def _without(kept: Mapping[int, float], version: int) -> dict[int, float]:
    return {key: value for key, value in kept.items() if key != version}
