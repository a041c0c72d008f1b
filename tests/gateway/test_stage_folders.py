"""Removing a stage is deleting its folder: the adapter starts and serves without it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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


class _Server:
    """Starts adapters from copies of the tree's layout in which folders are missing."""

    def __init__(self, scratch: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVE), str(scratch)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def serve(self, scratch: Path, *deleted: str) -> _Served:
        """What an adapter without some folders wrote, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(scratch), *deleted]) + "\n")
        self._process.stdin.flush()
        return _Served(**json.loads(self._process.stdout.readline()))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait() == 0


@dataclass(frozen=True)
class _Served:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    started = _Server(tmp_path_factory.mktemp("server"))
    yield started
    started.end()


@pytest.mark.parametrize("stage", _STAGES)
def test_the_adapter_serves_without_a_stage(server: _Server, tmp_path: Path, stage: str) -> None:
    done = server.serve(tmp_path, f"gateway/{stage}")
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


def test_the_adapter_serves_without_the_gateway(server: _Server, tmp_path: Path) -> None:
    done = server.serve(tmp_path, "gateway")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["served"]


def test_a_missing_stage_that_is_configured_is_refused_by_name(
    server: _Server, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "endpoint.yaml").write_text("limits: {reserve_tokens: 5}\n")
    done = server.serve(tmp_path, "gateway/limits")
    assert done.returncode != 0
    assert "limits" in done.stderr.splitlines()[-1]
