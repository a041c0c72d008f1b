"""What a wheel holds: every package of the layout, and nothing that belongs to a checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from enginehouse.cli.app import app
from typer.testing import CliRunner

from enginehouse.errors import CheckoutOnlyError
from tests.layout.folders import ROOT, folders, pyproject, tree_packages

#: Parts of perf/ that compare and test; they run from a checkout.
_CHECKOUT_ONLY = tuple(
    f"enginehouse.perf.{name}" for name in ("peers", "runtimes", "targets", "trials")
)


def _shipped() -> list[str]:
    return sorted(name for name in set(tree_packages()) if not name.startswith(_CHECKOUT_ONLY))


def test_the_list_of_packages_is_that_of_the_tree() -> None:
    listed: list[str] = pyproject()["tool"]["setuptools"]["packages"]
    assert sorted(listed) == _shipped()
    assert set(_CHECKOUT_ONLY) <= set(tree_packages())


# What is found in place must not be what is tried.
_MIGRATES = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
sys.path.insert(0, sys.argv[1])
from enginehouse.gateway.access import records
from enginehouse.gateway.database import database, schema
assert database.__file__.startswith(sys.argv[1]), database.__file__
database.Database("sqlite:///" + sys.argv[2]).close()
print(schema.schemas()["access"].migrations)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    for folder in folders().values():
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignored)
    made = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", source / "wheels", source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    (found,) = (source / "wheels").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(built: Path) -> list[str]:
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def test_it_has_every_migration_and_runs_them(built: Path, tmp_path: Path) -> None:
    installed = tmp_path / "a %s folder"
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
        archive.extractall(installed)
    scripts = {
        f"enginehouse/{path.relative_to(ROOT)}"
        for folder in ("*/migrations/*.py", "database/alembic/*.*")
        for path in (ROOT / "gateway").glob(folder)
    }
    assert scripts
    assert scripts <= names
    argv = [sys.executable, "-c", _MIGRATES, str(installed), str(tmp_path / "endpoint.db")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))


def test_a_wheel_holds_every_module_of_its_packages(wheel: list[str]) -> None:
    here = {
        f"{package.replace('.', '/')}/{file.name}"
        for package in _shipped()
        for file in _directory(package).glob("*.py")
    }
    assert here - set(wheel) == set()


def test_a_wheel_holds_the_files_that_the_code_reads(wheel: list[str]) -> None:
    assert "enginehouse/py.typed" in wheel
    for part in ("preprocessing", "tensorrt_llm", "postprocessing", "embedding", "whole"):
        assert f"enginehouse/model_repository/{part}/model.py" in wheel
    assert any(name.startswith("enginehouse/build/references/") for name in wheel)
    assert any(name.startswith("enginehouse/perf/profiles/") for name in wheel)


def test_a_wheel_holds_nothing_of_a_checkout(wheel: list[str]) -> None:
    folders_left_out = tuple(f"{name.replace('.', '/')}/" for name in _CHECKOUT_ONLY)
    assert [name for name in wheel if name.startswith(folders_left_out)] == []
    assert [name for name in wheel if "tests/" in name or "docs/" in name] == []
    assert {name.split("/")[0].partition("-")[0] for name in wheel} == {"enginehouse"}


def test_a_command_without_its_code_says_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enginehouse.cli.checkout.find_spec", lambda _: None)
    for arguments in (["perf", "targets"], ["bench", "--stages"]):
        ended = CliRunner().invoke(app, arguments)
        assert isinstance(ended.exception, CheckoutOnlyError)
        assert "in a checkout of the repository" in str(ended.exception)


def test_no_module_of_a_wheel_needs_one_that_it_lacks_to_be_imported() -> None:
    needing = [
        str(file.relative_to(ROOT))
        for package in _shipped()
        for file in _directory(package).glob("*.py")
        if any(
            line.startswith((f"from {name}", f"import {name}"))
            for line in file.read_text(encoding="utf-8").splitlines()
            for name in _CHECKOUT_ONLY
        )
    ]
    assert needing == []


def _directory(package: str) -> Path:
    owner = max((name for name in folders() if f"{package}.".startswith(f"{name}.")), key=len)
    inside = package.removeprefix(owner).strip(".")
    return (
        ROOT.joinpath(folders()[owner], *inside.split(".")) if inside else ROOT / folders()[owner]
    )
