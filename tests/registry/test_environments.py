from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from enginehouse.registry import BundleCache, Registry
from enginehouse.registry.environments import Environment
from enginehouse.registry.labelling import set_label
from enginehouse.registry.retirement import Retirement
from enginehouse.registry.transfer import transfer
from typer.testing import Result

from enginehouse.errors import BundleError, ConflictError, NotRegisteredError, SettingsError
from enginehouse.manifest import EmbeddingFacts
from enginehouse.settings import Settings
from tests.fake_bundle import fake_bundle
from tests.mlflow_server import MlflowServer


def in_environment(settings: Settings, name: str | None) -> Registry:
    return Registry(replace(settings, environment=name))


@pytest.mark.parametrize("prefix", [None, "staging", "eu-1"])
def test_a_name_goes_to_mlflow_and_back(prefix: str | None) -> None:
    environment = Environment(prefix)
    assert environment.served(environment.registered("smollm2")) == "smollm2"


def test_models_of_another_environment_are_not_ours() -> None:
    assert Environment("staging").served("production.smollm2") is None
    assert Environment("staging").served("smollm2") is None
    assert Environment(None).served("staging.smollm2") is None
    assert Environment(None).served("enginehouse.lease") is None


@pytest.mark.parametrize("prefix", ["", "a.b", "Staging", "a/b", "enginehouse", "none", "x" * 32])
def test_a_prefix_that_would_read_in_two_ways_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError):
        Environment(prefix)


def test_environments_of_one_registry_do_not_see_each_other(
    settings: Settings, tmp_path: Path
) -> None:
    staging, production = (in_environment(settings, name) for name in ("staging", "production"))
    staging.register(fake_bundle(tmp_path / "a"), "smollm2")
    staging.promote("smollm2", 1)
    assert staging.version("smollm2", 1).name == "smollm2"
    assert staging.champion("smollm2") == 1
    assert production.models() == in_environment(settings, None).models() == []
    with pytest.raises(NotRegisteredError):
        production.versions("smollm2")


def test_a_transfer_shares_the_artefacts_and_happens_once(
    settings: Settings, tmp_path: Path
) -> None:
    staging, production = (in_environment(settings, name) for name in ("staging", "production"))
    production.register(fake_bundle(tmp_path / "old", weights=b"old"), "smollm2")
    record = staging.register(fake_bundle(tmp_path / "a"), "smollm2", "1.4.0")
    staging.set_version_tag("smollm2", 1, "team", "search")
    staging.set_version_tag("smollm2", 1, "enginehouse.gates", "[]")
    staging.promote("smollm2", 1)
    done = transfer(staging, production, "smollm2", 1)
    assert (done.created, done.copied, done.record.version) == (True, False, 2)
    assert done.record.bundle == record.bundle
    assert done.record.label == "1.4.0"
    assert done.record.aliases == ()
    assert done.record.tags["team"] == "search"
    assert "enginehouse.gates" not in done.record.tags
    assert done.record.tags["enginehouse.transferred_from"].endswith("staging.smollm2 version 1")
    BundleCache(tmp_path / "cache", production).fetch("smollm2", 2).verify()
    again = transfer(staging, production, "smollm2", 1)
    assert (again.created, again.record.version) == (False, 2)
    assert len(production.versions("smollm2")) == 2


def test_what_must_not_go_along_is_refused(settings: Settings, tmp_path: Path) -> None:
    staging, production = (in_environment(settings, name) for name in ("staging", "production"))
    staging.register(fake_bundle(tmp_path / "a"), "smollm2", "1.0.0")
    production.register(fake_bundle(tmp_path / "b", weights=b"b"), "smollm2", "1.0.0")
    with pytest.raises(ConflictError, match=r"label 1\.0\.0"):
        transfer(staging, production, "smollm2", 1)
    set_label(staging, "smollm2", 1, "1.0.1")
    Retirement(staging, None).retire("smollm2", 1, "slow")
    with pytest.raises(ConflictError, match="retired"):
        transfer(staging, production, "smollm2", 1)
    facts = EmbeddingFacts(dimensions=4, pooling="mean", normalise=True, max_tokens=16)
    staging.register(fake_bundle(tmp_path / "e", embedding=facts), "minilm")
    production.register(fake_bundle(tmp_path / "g", weights=b"g"), "minilm")
    with pytest.raises(BundleError, match="kind"):
        transfer(staging, production, "minilm", 1)
    assert len(production.versions("smollm2")) == len(production.versions("minilm")) == 1


def test_another_registry_gets_one_copy(own: Registry, tmp_path: Path) -> None:
    there = Settings(home=tmp_path / "there")
    own.register(fake_bundle(tmp_path / "a"), "smollm2", "1.0.0")
    first = transfer(own, in_environment(there, "staging"), "smollm2", 1)
    second = transfer(own, in_environment(there, "production"), "smollm2", 1)
    third = transfer(own, in_environment(there, "production"), "smollm2", 1)
    assert (first.copied, second.copied, third.created) == (True, False, False)
    assert second.record.bundle == first.record.bundle
    assert first.record.label == second.record.label == "1.0.0"
    assert len(list((tmp_path / "there" / "registry" / "artifacts").iterdir())) == 1


def test_a_copy_that_is_not_what_was_registered_does_not_arrive(
    own: Registry, tmp_path: Path
) -> None:
    there = Registry(Settings(home=tmp_path / "there"))
    record = own.register(fake_bundle(tmp_path / "a"), "smollm2")
    stored = Path(record.bundle.removeprefix("file://"))
    fake_bundle(stored, weights=b"tampered")
    with pytest.raises(BundleError, match="not what was registered"):
        transfer(own, there, "smollm2", 1)
    assert there.models() == []


def test_a_version_whose_artefacts_are_gone_is_not_adopted(
    settings: Settings, tmp_path: Path
) -> None:
    staging, production = (in_environment(settings, name) for name in ("staging", "production"))
    record = staging.register(fake_bundle(tmp_path / "a"), "smollm2")
    (Path(record.bundle.removeprefix("file://")) / "engine.json").unlink()
    with pytest.raises(Exception, match=r"engine\.json"):
        transfer(staging, production, "smollm2", 1)
    assert production.versions("smollm2") == []


def test_the_command_line_transfers(cli: Callable[..., Result], tmp_path: Path) -> None:
    path = fake_bundle(tmp_path / "a").path
    done = cli("register", path, "--name", "smollm2", "--label", "1.0.0", environment="staging")
    assert done.exit_code == 0
    done = cli("transfer", "smollm2", "1.0.0", "--to", "production", environment="staging")
    assert "version 1 of production (nothing was copied)" in done.stdout
    done = cli("transfer", "smollm2", "1", "--from", "staging", "--to", "production")
    assert done.exit_code == 0
    assert "already" in done.stdout
    assert cli("transfer", "smollm2", "1", environment="staging").exit_code == 1
    done = cli("transfer", "smollm2", "1", "--to", "none", environment="staging")
    assert done.exit_code == 0
    assert "1.0.0" in cli("versions", "smollm2").stdout


@pytest.mark.slow(reason="MLflow's server; tests/releases has one")
def test_a_real_server_gives_aliases_artefacts_and_transfers(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, mlflow_tracking_uri=mlflow_server.url)
    staging, production = (in_environment(settings, name) for name in ("staging", "production"))
    record = staging.register(fake_bundle(tmp_path / "a"), "remote", "1.0.0")
    staging.promote("remote", 1)
    assert staging.snapshot()["remote"].aliases == {"champion": 1}
    done = transfer(staging, production, "remote", 1)
    assert done.record.bundle == record.bundle
    assert not done.copied
    assert not transfer(staging, production, "remote", 1).created
    BundleCache(tmp_path / "cache", production).fetch("remote", 1).verify()
    mlflow_server.stop()
    mlflow_server.start()
    assert production.version("remote", 1).label == "1.0.0"
