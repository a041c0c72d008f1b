"""A home may have any name that a file system takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.gateway.database.database import Database
from enginehouse.registry import Registry
from enginehouse.registry.cache import BundleCache
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from enginehouse.settings import load_settings
from enginehouse.sqlite_urls import sqlite_path, sqlite_url
from tests.fake_bundle import fake_bundle


@pytest.fixture(autouse=True)
def tables_are_copied() -> None:
    """MLflow makes its tables here: it reads the path more than once."""


@pytest.mark.parametrize(
    "name",
    ["a%41b %(here)s 100%", "q?x=1&y", "h#frag;x", "sp ace 'q\" ü日", "at@x:y", "[a]{b}$HOME"],
)
def test_keys_and_versions_are_kept_below_it(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    settings = load_settings({"ENGINEHOUSE_HOME": str(home)}, cwd=tmp_path)
    database = Database(settings.database_url)
    with database.begin():
        pass
    database.close()
    registry = Registry(settings)
    record = registry.register(fake_bundle(tmp_path / "bundle"), "smollm2")
    registry.promote("smollm2", record.version)
    found = BundleCache(settings.cache_dir, registry).fetch("smollm2", record.version)
    assert found.path.is_relative_to(home)
    assert (home / "endpoint.db").is_file()
    assert (home / "registry" / "mlflow.db").is_file()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_sqlalchemy_reads_the_path_that_was_meant(name: str) -> None:
    path = Path("/home") / name.replace("/", "_").strip(".") / "x.db"
    assert make_url(sqlite_url(path)).database == str(path)
    assert sqlite_path(sqlite_url(path)) == path
