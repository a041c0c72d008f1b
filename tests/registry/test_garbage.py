from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from enginehouse.registry import BundleCache, Registry
from enginehouse.registry.garbage import GRACE_S, Collector
from enginehouse.registry.retirement import Retirement
from enginehouse.registry.transfer import transfer

from enginehouse.errors import RegistryError
from enginehouse.settings import Settings
from tests.fake_bundle import fake_bundle
from tests.mlflow_server import MlflowServer


def later() -> float:
    return time.time() + GRACE_S + 60


@pytest.fixture
def collector(own: Registry, settings: Settings) -> Collector:
    return Collector(own, settings, now=later)


def register(registry: Registry, tmp_path: Path, count: int, name: str = "smollm2") -> None:
    for number in range(count):
        bundle = fake_bundle(tmp_path / f"{name}{number}", weights=b"%d" % number)
        registry.register(bundle, name)


def stored(registry: Registry, version: int, name: str = "smollm2") -> Path:
    return Path(registry.version(name, version).bundle.removeprefix("file://"))


def test_the_files_of_a_deleted_version_go_and_the_others_stay(
    own: Registry, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 3)
    gone, kept = stored(own, 2), stored(own, 1)
    size = sum(file.stat().st_size for file in gone.rglob("*") if file.is_file())
    Retirement(own, None).delete("smollm2", 2)
    found = collector.collect()
    assert [(item.size_bytes, item.reason) for item in found] == [(size, "its version was deleted")]
    assert gone.exists(), "a dry run removes nothing"
    assert len(collector.collect(dry_run=False)) == 1
    assert not gone.exists()
    assert kept.exists()
    assert collector.collect() == []


def test_nothing_young_is_touched(own: Registry, settings: Settings, tmp_path: Path) -> None:
    register(own, tmp_path, 1)
    with own.session() as client:
        run_id = own.version("smollm2", 1).run_id
        Retirement(own, None).delete("smollm2", 1)
        assert Collector(own, settings).collect() == []
        # The registration is long ago, the deletion is not.
        soon = float(client.get_run(run_id).data.tags["enginehouse.released_at"]) + GRACE_S - 5
    assert Collector(own, settings, now=lambda: soon).collect() == []


def test_a_run_that_has_not_ended_is_not_touched(
    own: Registry, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 1)
    run_id = own.version("smollm2", 1).run_id
    Retirement(own, None).delete("smollm2", 1)
    with own.session() as client:
        client.update_run(run_id, status="RUNNING")
        assert collector.collect() == []
        client.set_terminated(run_id, "FAILED")
    assert [item.reason for item in collector.collect()] == ["its registration failed"]


def test_artefacts_that_another_environment_has_stay(
    own: Registry, settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 1)
    production = Registry(replace(settings, environment="production"))
    transfer(own, production, "smollm2", 1)
    Retirement(own, None).delete("smollm2", 1)
    assert collector.collect() == []
    Retirement(production, None).delete("smollm2", 1)
    assert len(collector.collect()) == 1


def test_runs_that_are_no_registrations_are_history(
    own: Registry, collector: Collector, tmp_path: Path
) -> None:
    with own.session() as client:
        run = client.create_run(own.experiment("enginehouse/smollm2"), run_name="rollout 7")
        client.log_text(run.info.run_id, "report", "report.md")
        client.set_terminated(run.info.run_id)
    assert collector.collect() == []


def test_a_directory_whose_run_mlflow_does_not_know_goes(
    own: Registry, settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 1)
    artifacts = settings.home / "registry" / "artifacts"
    orphan = artifacts / ("0" * 32)
    (orphan / "artifacts").mkdir(parents=True)
    (orphan / "artifacts" / "x").write_bytes(b"12345")
    (artifacts / "models").mkdir()
    found = collector.collect(dry_run=False)
    assert [(item.where, item.size_bytes) for item in found] == [(str(orphan), 5)]
    assert not orphan.exists()
    assert (artifacts / "models").exists()
    assert stored(own, 1).exists()


def test_cached_copies_of_what_nobody_serves_go(
    own: Registry, settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 4)
    cache = BundleCache(settings.cache_dir, own)
    for version in range(1, 5):
        cache.fetch("smollm2", version)
    (settings.cache_dir / "smollm2" / ".fetching-x").mkdir()
    own.promote("smollm2", 1)
    own.set_model_tag("smollm2", "enginehouse.release", '{"loaded": [2]}')
    Retirement(own, None).delete("smollm2", 4)
    found = {Path(item.where).name: item.reason for item in collector.collect(dry_run=False)}
    assert found == {
        "3": "cached copy of a version that is not served",
        "4": "cached copy of a deleted version",
        ".fetching-x": "a download that did not end",
        "bundle": "its version was deleted",
    }
    assert sorted(path.name for path in (settings.cache_dir / "smollm2").iterdir()) == ["1", "2"]
    young = settings.cache_dir / "smollm2" / "1"
    own.delete_alias("smollm2", "champion")
    assert Collector(own, settings).collect() == []
    os.utime(young, (0, 0))
    assert [item.where for item in Collector(own, settings).collect()] == [str(young)]


def test_a_tag_that_cannot_be_read_stops_everything(
    own: Registry, collector: Collector, tmp_path: Path
) -> None:
    register(own, tmp_path, 1)
    own.set_model_tag("smollm2", "enginehouse.release", "{")
    with pytest.raises(RegistryError, match="the loaded versions are unknown"):
        collector.collect(dry_run=False)


@pytest.mark.slow(reason="MLflow's server; tests/releases has one")
def test_garbage_of_a_real_server_goes(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", mlflow_tracking_uri=mlflow_server.url)
    registry = Registry(settings)
    register(registry, tmp_path, 2, "rubbish")
    Retirement(registry, None).delete("rubbish", 1)
    collector = Collector(registry, settings, now=later)
    found = collector.collect()
    assert [item.reason for item in found] == ["its version was deleted"]
    assert found[0].size_bytes > 0
    collector.collect(dry_run=False)
    assert collector.collect() == []
    BundleCache(settings.cache_dir, registry).fetch("rubbish", 2).verify()
