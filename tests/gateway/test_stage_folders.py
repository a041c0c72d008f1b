"""Removing a stage is deleting its folder: the adapter starts and serves without it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest

from enginehouse import gateway

_ROOT = Path(__file__).parents[2]
_STAGES = sorted(
    path.parent.name
    for path in (_ROOT / "gateway").glob("*/__init__.py")
    if "\nregistration = Registration(" in path.read_text(encoding="utf-8")
)
_SERVE = Path(__file__).with_name("serve_without.py")


def _serve(tmp_path: Path, *deleted: str) -> subprocess.CompletedProcess[str]:
    """Start the adapter from a copy of the tree's layout in which folders are missing."""
    return subprocess.run(
        [sys.executable, str(_SERVE), str(tmp_path), *deleted],
        cwd=_ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("stage", _STAGES)
def test_the_adapter_serves_without_a_stage(tmp_path: Path, stage: str) -> None:
    done = _serve(tmp_path, f"gateway/{stage}")
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    assert "served" in found
    assert found.count("stage") == len(_STAGES) - 1


def test_no_module_of_a_stage_hides_its_registration() -> None:
    """A submodule becomes an attribute of its package, and could take the registration's place."""
    for module in walk_packages(gateway.__path__, f"{gateway.__name__}."):
        if ".migrations." not in module.name:
            import_module(module.name)
    assert len(gateway.registrations()) == len(_STAGES)


def test_the_adapter_serves_without_the_gateway(tmp_path: Path) -> None:
    done = _serve(tmp_path, "gateway")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["served"]


def test_a_missing_stage_that_is_configured_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "endpoint.yaml").write_text("limits: {reserve_tokens: 5}\n")
    done = _serve(tmp_path, "gateway/limits")
    assert done.returncode != 0
    assert "limits" in done.stderr.splitlines()[-1]
