"""The layout: `lint-imports` holds the table of folders, and fails on a planted breach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layout.folders import CORE, ROOT, assemble, folder_of, folders
from tests.layout.table import PAGE, contracts, layout_table, written_table


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--no-cache",
            ROOT / "pyproject.toml",
        ],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tree")
    assemble(target, copy=True)
    return target


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    done = _lint(tree)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "statement", "message"),
    [
        ("api/health.py", "import enginehouse.gateway.access.guard", "must not import"),
        ("api/health.py", "from enginehouse.registry import Registry", "must not import"),
        ("api/health.py", "from enginehouse.model_repository import config", "must not import"),
        ("gateway/ledger/ledger.py", "import enginehouse.perf.bench", "must not import"),
        ("registry/records.py", "import enginehouse.api.health", "must not import"),
        ("client/wire.py", "import enginehouse.engine.codec", "must not import"),
        ("engine/codec.py", "import enginehouse.client.wire", "must not import"),
        ("urls.py", "import enginehouse.client.wire", "must not import"),
        ("urls.py", "import starlette.requests", "must not import"),
        ("urls.py", "def f():\n    import fastapi", "must not import"),
        ("engine/runtime.py", "import enginehouse.engine.runtimes", "in a circle"),
        (
            "engine/runtime.py",
            "def f():\n    import enginehouse.engine.openvino",
            "in a circle",
        ),
    ],
)
def test_a_planted_breach_is_found(tree: Path, file: str, statement: str, message: str) -> None:
    path = tree / "enginehouse" / file
    whole = path.read_text(encoding="utf-8")
    path.write_text(f"{whole}\n\n{statement}\n", encoding="utf-8")
    try:
        done = _lint(tree)
    finally:
        path.write_text(whole, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stdout


def test_every_folder_has_a_contract() -> None:
    names = [contract["folder"] for contract in contracts()]
    assert sorted(names) == sorted({str(folder_of(package)) for package in folders()})
    assert len(names) == len(set(names))
    assert CORE in names


def test_the_page_has_the_table_of_the_contracts() -> None:
    written = written_table(PAGE.read_text(encoding="utf-8"))
    assert written == layout_table(), "write it with: python -m tests.layout.table"
