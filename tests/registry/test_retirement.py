from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.records import ModelSnapshot
from enginehouse.registry.retirement import Retirement
from enginehouse.registry.usage import uses
from typer.testing import Result

from enginehouse.errors import ConflictError, InUseError, NotRegisteredError, RegistryError
from enginehouse.settings import Settings
from enginehouse.traffic.routes import Arm, ExperimentArm, ExperimentRoute, Routes, write_routes
from tests.fake_bundle import fake_bundle


@pytest.fixture
def retirement(own: Registry, settings: Settings, tmp_path: Path) -> Retirement:
    """Of a model with versions 1 to 3, of which 1 serves."""
    for number in range(3):
        own.register(fake_bundle(tmp_path / str(number), weights=b"%d" % number), "smollm2")
    own.promote("smollm2", 1)
    return Retirement(own, settings.routes_dir)


def test_a_retired_version_is_not_promoted_until_that_is_taken_back(
    own: Registry, retirement: Retirement
) -> None:
    assert retirement.retire("smollm2", 2, "too slow").retired == "too slow"
    with pytest.raises(ConflictError, match="too slow"):
        own.promote("smollm2", 2)
    assert own.champion("smollm2") == 1
    assert retirement.reinstate("smollm2", 2).retired is None
    own.promote("smollm2", 2)


@pytest.mark.parametrize("verb", ["retire", "delete"])
def test_what_has_an_alias_stays(own: Registry, retirement: Retirement, verb: str) -> None:
    own.set_alias("smollm2", "blue", 1)
    arguments = ("why",) if verb == "retire" else ()
    with pytest.raises(InUseError, match="alias 'blue', it has the alias 'champion'"):
        getattr(retirement, verb)("smollm2", 1, *arguments)
    assert own.champion("smollm2") == 1


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"champion": 2}, "serves"),
        ({"loaded": [2]}, "loaded"),
        ({"kept": {"2": 1e12}}, "loaded"),
        ({"rollout": {"champion": 1, "challenger": 2, "phase": "paused"}}, "rollout"),
        ({"rollout": {"champion": 2, "challenger": 3, "phase": "PROGRESSING"}}, "rollout"),
    ],
)
def test_what_the_controller_uses_stays(
    own: Registry, retirement: Retirement, state: dict[str, object], reason: str
) -> None:
    own.set_model_tag("smollm2", "enginehouse.release", json.dumps(state))
    with pytest.raises(InUseError, match=reason):
        retirement.delete("smollm2", 2)
    assert len(own.versions("smollm2")) == 3


def test_a_rollout_at_rest_holds_nothing(own: Registry, retirement: Retirement) -> None:
    ended = {"rollout": {"champion": 1, "challenger": 2, "phase": "aborted"}, "loaded": [1]}
    own.set_model_tag("smollm2", "enginehouse.release", json.dumps(ended))
    retirement.delete("smollm2", 2)
    assert [record.version for record in own.versions("smollm2")] == [3, 1]


def test_what_routes_name_stays(own: Registry, retirement: Retirement, settings: Settings) -> None:
    arms = tuple(ExperimentArm(name=str(v), weight=1, version=v) for v in (1, 3))
    routes = Routes(
        model="smollm2",
        generation=1,
        champion=1,
        arms=(Arm(version=1, weight=100),),
        loaded=(1, 2),
        experiments=(ExperimentRoute(name="e", salt="s", arms=arms),),
    )
    write_routes(settings.routes_dir, routes)
    with pytest.raises(InUseError, match="loaded"):
        retirement.delete("smollm2", 2)
    with pytest.raises(InUseError, match="experiment"):
        retirement.delete("smollm2", 3)


@pytest.mark.parametrize("tag", ["enginehouse.release", "enginehouse.routes"])
def test_a_tag_that_cannot_be_read_lets_nothing_go(tag: str) -> None:
    with pytest.raises(RegistryError, match="the loaded versions are unknown"):
        uses(ModelSnapshot("smollm2", {}, {tag: "{"}), None)


def test_versions_and_models_that_are_not_there(retirement: Retirement) -> None:
    with pytest.raises(NotRegisteredError, match="no version 9"):
        retirement.delete("smollm2", 9)
    with pytest.raises(NotRegisteredError, match="'nobody'"):
        retirement.retire("nobody", 1, "why")


def test_the_command_line_retires_and_deletes(
    cli: Callable[..., Result], retirement: Retirement
) -> None:
    assert cli("retire", "smollm2", "2", "--reason", "slow").exit_code == 0
    assert "retired (slow)" in str(cli("promote", "smollm2", "2").exception)
    assert "retired" in cli("versions", "smollm2").stdout
    refused = cli("delete", "smollm2", "champion", "--yes")
    assert "alias 'champion'" in str(refused.exception)
    assert cli("delete", "smollm2", "2").exit_code == 1, "nobody said yes"
    assert cli("delete", "smollm2", "2", "--yes").exit_code == 0
    assert json.loads(cli("gc", "--dry-run", "--json").stdout) == [], "it is too young"
    assert cli("gc", "--dry-run", "--yes").exit_code == 1
    assert cli("gc", "--yes").exit_code == 0
