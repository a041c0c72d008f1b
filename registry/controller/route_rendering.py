"""Renders the routes that follow from a release state; pure."""

from __future__ import annotations

from collections.abc import Collection

from enginehouse.registry.release_state import ReleaseState
from enginehouse.registry.rollouts.state import RolloutStatus, shadow_share

from enginehouse.traffic import Arm, ExperimentRoute, Routes, ShadowRoute


def render_routes(
    model: str,
    state: ReleaseState,
    experiments: tuple[ExperimentRoute, ...],
    ready: Collection[int],
) -> Routes:
    """Routes of a model with a champion; `ready` are the versions that may be pinned.

    Raises:
        ValueError: if it has no champion.
    """
    if state.champion is None:
        raise ValueError(f"nothing of {model} serves")
    active, weights = state.active, state.weights
    # The challenger first: units assigned to it keep it while its weight grows.
    order = sorted(weights, key=lambda version: version == state.champion)
    return Routes(
        model=model,
        generation=state.generation,
        rollout=active.id if active is not None else None,
        champion=state.champion,
        challenger=state.challenger,
        arms=tuple(Arm(version=version, weight=weights[version]) for version in order),
        sticky=state.spec.sticky if active is not None else "none",
        shadow=_shadow(state, active),
        experiments=experiments,
        loaded=tuple(sorted(ready)),
    )


def _shadow(state: ReleaseState, active: RolloutStatus | None) -> ShadowRoute | None:
    share = 0.0 if active is None else shadow_share(state.spec, active)
    if active is None or not share:
        return None
    concurrency = state.spec.shadow_concurrency
    return ShadowRoute(version=active.challenger, share=share, concurrency=concurrency)
