from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from enginehouse.registry import BundleCache, Registry

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError, NotRegisteredError, RegistryError
from enginehouse.settings import Settings
from tests.conftest import call_cli, registered_home, stack_env


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Path:
    path = tmp_path_factory.mktemp("registry")
    registered_home(path, bundle)
    return path


@pytest.fixture
def registry(home: Path) -> Registry:
    return Registry(Settings(home=home))


def test_a_version_has_lineage_aliases_and_the_card(registry: Registry, bundle: Bundle) -> None:
    record = registry.version("smollm2", 1)
    assert record.aliases == ("champion",)
    assert record.tags["enginehouse.checkpoint_sha256"] == bundle.manifest.checkpoint.sha256
    version = registry._client.get_model_version("smollm2", "1")
    assert version.description == bundle.card
    run = registry._client.get_run(version.run_id)
    assert run.data.params["build.runtime"] == "openvino"


def test_promoting_remembers_the_version_before(registry: Registry, bundle: Bundle) -> None:
    second = registry.register(bundle, "smollm2").version
    assert registry.promote("smollm2", second) == 1
    assert registry.champion("smollm2") == second
    assert registry.version("smollm2", 1).aliases == ("previous",)
    registry.promote("smollm2", 1)


def test_versions_as_json(home: Path) -> None:
    done = call_cli(stack_env(home), "versions", "smollm2", "--json")
    listed = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"version", "aliases", "bundle", "created", "tags"} == listed[0].keys()
    assert [entry["version"] for entry in listed] == sorted(
        (entry["version"] for entry in listed), reverse=True
    )


def test_unknown_models_and_versions_are_refused_by_name(registry: Registry, home: Path) -> None:
    with pytest.raises(NotRegisteredError, match="'nobody'"):
        registry.champion("nobody")
    with pytest.raises(NotRegisteredError, match="no version 99; its versions: 1"):
        registry.promote("smollm2", 99)
    done = call_cli(stack_env(home), "promote", "smollm2", 99)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_bundle_is_not_registered(
    registry: Registry, bundle: Bundle, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    (copy / "tokenizer.json").write_text("{}")
    before = len(registry.versions("smollm2"))
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        registry.register(Bundle.open(copy), "smollm2")
    assert len(registry.versions("smollm2")) == before


def test_a_download_is_verified_and_a_damaged_copy_is_fetched_again(
    registry: Registry, tmp_path: Path
) -> None:
    cache = BundleCache(tmp_path, registry)
    fetched = cache.fetch("smollm2", 1)
    (fetched.path / "tokenizer.json").write_text("{}")
    cache.fetch("smollm2", 1).verify()


def test_what_the_store_holds_must_be_what_was_registered(
    registry: Registry, bundle: Bundle, tmp_path: Path
) -> None:
    record = registry.register(bundle, "tampered")
    stored = Path(record.bundle.removeprefix("file://"))
    (stored / "chat_template.jinja").write_text("{{ 'x' }}")
    cache = BundleCache(tmp_path, registry)
    with pytest.raises(BundleError, match="chat_template"):
        cache.fetch("tampered", record.version)
    assert not cache.path("tampered", record.version).exists()


def test_a_registry_that_does_not_answer_is_an_error_not_a_hang(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_tracking_uri="http://user:secret@127.0.0.1:9")
    with pytest.raises(RegistryError) as caught:
        Registry(settings).champion("smollm2")
    assert "secret" not in str(caught.value)
