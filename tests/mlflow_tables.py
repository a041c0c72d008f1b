"""Registries of tests begin with a copy of MLflow's empty tables: its migrations take two seconds.

Processes that tests start make the tables themselves, and so does `test_any_home.py`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from enginehouse.registry.connection import connect

from enginehouse.sqlite_urls import sqlite_path, sqlite_url
from tests.made_once import made_once


def connect_to_a_copy(uri: str, embedded_dir: Path | None) -> Any:
    """`connect`, whose tables are there already."""
    path = sqlite_path(uri)
    if embedded_dir is not None and path is not None and not path.exists():
        embedded_dir.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=embedded_dir)) / path.name
        shutil.copyfile(_empty(), part)
        part.rename(path)
        part.parent.rmdir()
    return connect(uri, embedded_dir)


@cache
def _empty() -> Path:
    """A database with MLflow's tables; all processes of one `make test` share it."""
    shared = os.environ.get("ENGINEHOUSE_TEST_BUNDLES") or tempfile.mkdtemp()
    return made_once(
        Path(shared) / "mlflow.db",
        lambda part: connect(sqlite_url(part), part.parent).search_registered_models(max_results=1),
    )
