from __future__ import annotations

from enginehouse.registry.controller.transitions import (
    PROMOTION,
    ROLLBACK,
    Wish,
    expire,
    install,
    roll_back,
    start,
    stopped,
)
from enginehouse.registry.release_state import ReleaseState, state_of
from enginehouse.registry.rollouts.state import Phase

_WISH = Wish("ada@host", "because")


def _installed(version: int = 1) -> ReleaseState:
    return install(ReleaseState(), "m", version, _WISH, 100.0)


def test_the_first_champion_gets_all_traffic_and_owes_the_history_an_event() -> None:
    state = _installed()
    assert state.weights == {1: 100}
    assert state.wanted == {1}
    assert [owed.event.kind for owed in state.owed] == ["install"]
    assert state.owed_aliases


def test_a_rollout_keeps_the_champion_and_wants_both() -> None:
    state = start(_installed(), "m", 2, _WISH, 200.0)
    assert (state.champion, state.challenger, state.pinned) == (1, 2, 1)
    assert state.weights == {1: 100}
    assert state.wanted == {1, 2}
    assert state.aliases == {"champion": 1, "challenger": 2}


def test_a_new_challenger_ends_the_rollout_before_it() -> None:
    state = start(start(_installed(), "m", 2, _WISH, 200.0), "m", 3, _WISH, 300.0)
    assert state.active is not None
    assert (state.active.challenger, state.active.step, state.active.sampled) == (3, 0, 0)
    kinds = [(owed.event.kind, owed.status.challenger) for owed in state.owed]
    assert kinds == [("install", 1), ("start", 2), ("abort", 2), ("start", 3)]
    assert len({owed.event.number for owed in state.owed}) == 4


def test_a_rollback_moves_all_traffic_and_keeps_what_it_came_from() -> None:
    promoted = roll_back(_installed(), "m", 2, _WISH, 200.0, 600.0)
    state = roll_back(promoted, "m", 1, _WISH, 300.0, 600.0)
    assert state.weights == {1: 100}
    assert state.kept == {2: 900.0}
    assert state.aliases == {"champion": 1}
    assert state.rollout is not None
    assert state.rollout.phase is Phase.SUCCEEDED
    assert state.kind == ROLLBACK


def test_a_rollback_ends_a_running_rollout() -> None:
    state = start(roll_back(_installed(), "m", 2, _WISH, 150.0, 600.0), "m", 3, _WISH, 200.0)
    after = roll_back(state, "m", 1, _WISH, 300.0, 600.0)
    assert after.active is None
    assert after.weights == {1: 100}
    assert 3 in after.kept


def test_a_promotion_by_hand_leaves_the_alias_challenger_alone() -> None:
    state = start(_installed(), "m", 2, _WISH, 200.0, kind=PROMOTION)
    assert "challenger" not in state.aliases
    assert state.active is not None
    assert state.active.forced_by == "ada@host"


def test_kept_versions_go_when_their_time_is_over() -> None:
    state = roll_back(_installed(), "m", 2, _WISH, 200.0, 600.0)
    assert expire(state, 799.0).wanted == {1, 2}
    assert expire(state, 801.0).wanted == {2}


def test_a_model_without_champion_wants_nothing() -> None:
    state = stopped(start(_installed(), "m", 2, _WISH, 200.0), "ada", 300.0)
    assert state.wanted == frozenset()
    assert state.weights == {}


def test_the_state_survives_its_tag() -> None:
    state = start(_installed(), "m", 2, _WISH, 200.0)
    assert state_of({"enginehouse.release": state.model_dump_json()}, "m") == state
