"""One model's releases against a real MLflow: what people do, and controllers that die."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.controller.model import ModelReleases
from enginehouse.registry.controller.transitions import Wish
from enginehouse.registry.history import History
from enginehouse.registry.rollouts.spec import RolloutSpec, RolloutStep
from enginehouse.registry.rollouts.state import GuardResult, Phase, RolloutCommand, Verdict

from enginehouse.errors import RolloutError
from enginehouse.settings import Settings
from tests.registry.controller.fakes import CrashError, World, crash_after

_SPEC = RolloutSpec(
    steps=(
        RolloutStep(weight=10, min_duration_s=5, min_samples=1),
        RolloutStep(weight=50, min_duration_s=5, min_samples=1),
        RolloutStep(weight=100, min_duration_s=5, min_samples=1),
    )
)
_WISH = Wish("ada@host", "because", _SPEC)


@pytest.fixture(scope="session")
def prepared(empty_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with three versions of m, of which the first is the champion."""
    home = tmp_path_factory.mktemp("prepared")
    shutil.copytree(empty_registry, home / "registry")
    registry = Registry(Settings(home=home))
    with registry.session() as client:
        client.create_registered_model("m")
        for _ in range(3):
            client.create_model_version("m", source="enginehouse:/nowhere")
        client.set_registered_model_alias("m", "champion", "1")
    return home / "registry"


@pytest.fixture
def fresh(prepared: Path, tmp_path: Path) -> Callable[[str], Registry]:
    def make(name: str) -> Registry:
        shutil.copytree(prepared, tmp_path / name / "registry")
        return Registry(Settings(home=tmp_path / name))

    return make


@pytest.fixture
def world(fresh: Callable[[str], Registry]) -> World:
    return World(fresh("home"))


def _aliases(world: World) -> dict[str, int]:
    return world.registry.snapshot()["m"].aliases


def _run(world: World, releases: ModelReleases, start: float, ticks: int) -> float:
    now = start
    for _ in range(ticks):
        now += 6
        world.tick(releases, now)
    return now


def _started(world: World) -> tuple[ModelReleases, float]:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    releases.start(2, _WISH, now)
    return releases, now


def test_a_rollout_moves_the_aliases_and_the_history_has_every_step(world: World) -> None:
    releases, now = _started(world)
    assert _run(world, releases, now, 8)
    assert _aliases(world) == {"champion": 2, "previous": 1}
    release = History(world.registry).releases("m")[0]
    assert (release.outcome, release.actor, release.reason) == ("succeeded", "ada@host", "because")
    weights = [event.weights for event in release.events]
    assert weights[-1] == {2: 100}
    assert {2: 10, 1: 90} in weights
    assert "enginehouse.served" in world.registry.version("m", 2).tags


def test_the_history_says_what_served_at_a_moment(world: World) -> None:
    releases, now = _started(world)
    _run(world, releases, now, 8)
    history = History(world.registry)
    events = history.releases("m")[0].events
    half = next(event for event in events if event.weights == {2: 50, 1: 50})
    found = history.serving_at("m", datetime.fromtimestamp(half.at + 1, UTC))
    assert found is not None
    assert found.weights == {2: 50, 1: 50}
    assert history.serving_at("m", datetime.fromtimestamp(10, UTC)) is None


@pytest.mark.parametrize("alias", ["challenger", "champion"])
def test_a_version_that_fails_its_gates_is_refused_and_its_tag_says_why(
    world: World, alias: str
) -> None:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    world.gate = Verdict.FAIL
    world.registry.set_alias("m", alias, 2)
    _run(world, releases, now, 5)
    assert _aliases(world) == {"champion": 1}
    assert "smoke: scripted" in world.registry.version("m", 2).tags["enginehouse.refused"]
    assert world.routes is not None
    assert world.routes.weight(1) == 100


def test_moving_the_alias_challenger_starts_and_taking_it_away_aborts(world: World) -> None:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    world.registry.set_alias("m", "challenger", 3)
    now = _run(world, releases, now, 2)
    assert releases.state.active is not None
    assert releases.state.active.challenger == 3
    world.registry.delete_alias("m", "challenger")
    _run(world, releases, now, 2)
    assert releases.state.active is None
    assert _aliases(world) == {"champion": 1}


def test_moving_the_alias_champion_promotes_and_moving_it_back_rolls_back(world: World) -> None:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    world.registry.set_alias("m", "champion", 2)
    now = _run(world, releases, now, 5)
    assert releases.state.champion == 2
    assert _aliases(world) == {"champion": 2, "previous": 1}
    world.registry.set_alias("m", "champion", 1)
    _run(world, releases, now, 2)
    assert releases.state.champion == 1
    assert [r.kind for r in History(world.registry).releases("m")][:2] == ["rollback", "promotion"]


def test_taking_the_champion_away_stops_serving(world: World) -> None:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    world.registry.delete_alias("m", "champion")
    _run(world, releases, now, 2)
    assert releases.wanted().versions == frozenset()


@pytest.mark.parametrize("ticks", [0, 1, 2, 3, 4])
def test_an_abort_at_any_phase_gives_the_champion_everything(world: World, ticks: int) -> None:
    releases, now = _started(world)
    now = _run(world, releases, now, ticks)
    assert releases.state.active is not None
    releases.command(RolloutCommand.ABORT, _WISH, now)
    _run(world, releases, now, 2)
    assert releases.state.weights == {1: 100}
    assert _aliases(world) == {"champion": 1}


def test_a_broken_guard_aborts_by_itself(world: World) -> None:
    releases, now = _started(world)
    now = _run(world, releases, now, 2)
    world.guards = (GuardResult(name="error_burst", reason="10 of 20 failed"),)
    _run(world, releases, now, 1)
    assert releases.state.rollout is not None
    assert releases.state.rollout.phase is Phase.ABORTED


def test_a_failed_load_makes_kept_versions_go_first(world: World) -> None:
    releases, now = _started(world)
    now = _run(world, releases, now, 8)
    assert releases.wanted().versions == {1, 2}
    world.fleet.broken = "load failed: memory: about 2.0 GiB are needed"
    _run(world, releases, now, 1)
    assert releases.wanted().versions == {2}


def test_commands_that_make_no_sense_are_refused_with_a_reason(world: World) -> None:
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    with pytest.raises(RolloutError, match="no rollout under way"):
        releases.command(RolloutCommand.PAUSE, _WISH, now)
    with pytest.raises(RolloutError, match="no previous version"):
        releases.rollback(None, _WISH, now)
    with pytest.raises(RolloutError, match="is the champion already"):
        releases.start(1, _WISH, now)
    assert releases.state.weights == {1: 100}


def _release_to_the_end(world: World, registry: Registry) -> None:
    """A promotion and a rollback, by a controller that may die on the way."""
    releases = world.controller("m")
    now = _run(world, releases, 1000.0, 2)
    if releases.state.champion == 1 and releases.state.rollout is not None:
        if releases.state.active is None and releases.state.kind == "install":
            releases.start(2, _WISH, now)
        _run(world, releases, now, 8)


@pytest.mark.parametrize(
    "first",
    [
        0,
        *(
            pytest.param(n, marks=pytest.mark.slow(reason="the deaths that 0 leaves out"))
            for n in (1, 2, 3)
        ),
    ],
)
def test_a_controller_may_die_between_any_two_of_its_writes(
    fresh: Callable[[str], Registry], first: int
) -> None:
    whole = World(fresh("whole"))
    count = crash_after(whole.registry, 10_000)
    _release_to_the_end(whole, whole.registry)
    expected = [e.kind for e in History(whole.registry).releases("m")[0].events]
    writes = count()
    assert writes > 30
    for dies_after in range(first, writes, 4):
        home = fresh(f"dies-{dies_after}")
        world = World(home)
        crash_after(world.registry, dies_after)
        with pytest.raises(CrashError):
            _release_to_the_end(world, world.registry)
        world.registry = Registry(Settings(home=_home_of(home)))
        _release_to_the_end(world, world.registry)
        assert _aliases(world) == {"champion": 2, "previous": 1}, dies_after
        found = History(world.registry).releases("m")
        assert [e.kind for e in found[0].events] == expected, dies_after
        assert [r.kind for r in found] == ["rollout", "install"], dies_after
        assert world.routes is not None
        assert world.routes.weight(2) == 100


def _home_of(registry: Registry) -> Path:
    assert registry._embedded_dir is not None
    return registry._embedded_dir.parent
