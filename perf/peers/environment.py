"""Creates a separate virtual environment for each peer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from enginehouse.perf.peers.peer import Peer

from enginehouse.errors import StackError

_HERE = Path(__file__).parent
_STAMP = "installed.json"
_REASON_LENGTH = 200


def requirements_file(peer: Peer) -> Path:
    """The requirements file with the peer's pinned packages."""
    return _HERE / f"requirements-{peer.name}.txt"


def ensure_environment(peer: Peer, home: Path) -> Path:
    """Install a peer if it is not installed; return its interpreter.

    Args:
        peer: the peer.
        home: the peer's directory.

    Raises:
        StackError: if it cannot be installed; gives the reason in one line.
    """
    if not peer.own_environment:
        return Path(sys.executable)
    environment = home / "venv"
    python = environment / "bin" / "python"
    stamp, wanted = environment / _STAMP, _stamp(peer)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    log = home / "install.log"
    home.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", "--clear", str(environment)], {}, log)
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r"]
    _run([*install, str(requirements_file(peer))], dict(peer.install_env), log)
    if peer.unwanted:
        _run([str(python), "-m", "pip", "uninstall", "--yes", *peer.unwanted], {}, log)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def installed_version(python: Path, package: str) -> str:
    """Version of a package in a peer's environment.

    Raises:
        StackError: if it is not installed.
    """
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    argv = [str(python), "-c", code, package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{package} is not installed in its environment ({python})")
    return done.stdout.strip()


def _stamp(peer: Peer) -> str:
    """A text that changes with the pins, the build flags or the Python version."""
    pins = hashlib.sha256(requirements_file(peer).read_bytes()).hexdigest()
    return json.dumps([pins, dict(peer.install_env), sys.version], indent=2)


def _run(argv: list[str], env: dict[str, str], log: Path) -> None:
    with log.open("ab") as output:
        done = subprocess.run(
            argv, env=os.environ | env, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise StackError(
            f"not installed: {reason_in(log.read_text(encoding='utf-8', errors='replace'))} ({log})"
        )


def reason_in(log: str) -> str:
    """The line of an installer's output that names the error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error:", "fatal error:"))]
    said = (errors or lines or ["the installer said nothing"])[-1]
    return said[:_REASON_LENGTH]
