from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from enginehouse.cli.app import app
from enginehouse.registry import Registry
from typer.testing import CliRunner, Result

from enginehouse.settings import Settings
from tests.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty embedded registry: MLflow's migrations take seconds, a copy takes none."""
    home = tmp_path_factory.mktemp("empty")
    Registry(Settings(home=home)).models()
    return home / "registry"


@pytest.fixture
def settings(tmp_path: Path, empty_registry: Path) -> Settings:
    """An embedded registry of its own."""
    home = tmp_path / "home"
    shutil.copytree(empty_registry, home / "registry")
    return Settings(home=home)


@pytest.fixture
def own(settings: Settings) -> Registry:
    return Registry(settings)


@pytest.fixture
def cli(settings: Settings) -> Callable[..., Result]:
    """The command line on that registry, in this process: an import of MLflow takes seconds."""
    env = {"ENGINEHOUSE_HOME": str(settings.home), "COLUMNS": "200"}

    def run(*arguments: object, **more: str) -> Result:
        variables = env | {f"ENGINEHOUSE_{k.upper()}": v for k, v in more.items()}
        return CliRunner().invoke(app, list(map(str, arguments)), env=variables)

    return run
