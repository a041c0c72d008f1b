"""Hashed requirements of each client: `python -m tests.client_matrix.lock [NAME…]` (needs uv).

Only hashes of wheels for Linux (x86_64, aarch64) and Python 3.11 and 3.12 are kept, and of the
source where a package has no such wheel. Nothing names the index that a package came from.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.markers import Marker

_CLIENTS = Path(__file__).parent / "clients"
_WANTED = re.compile(
    r"-(?:py3|py2\.py3|py311|cp311|cp312|cp3\d+-abi3)-?.*?"
    r"(?:-any|manylinux\w*_(?:x86_64|aarch64)|linux_(?:x86_64|aarch64))\S*\.whl$"
)
_ABI3 = re.compile(r"-cp3(\d+)-abi3-")
_NEWEST_MINOR = 12
_LINUX = {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux"}
_PYTHONS = ("3.11", "3.12")


def main(names: list[str]) -> None:
    for path in sorted(_CLIENTS.glob("*/requirements.in")):
        if not names or path.parent.name in names:
            locked = _resolved(path)
            lines = [line for package in locked for line in _lines(package)]
            path.with_suffix(".txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _resolved(path: Path) -> list[dict[str, Any]]:
    uv = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--no-header"]
    done = subprocess.run(
        [*uv, "--quiet", "--format", "pylock.toml", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{path}: {done.stderr}")
    packages: list[dict[str, Any]] = tomllib.loads(done.stdout)["packages"]
    return packages


def _lines(package: dict[str, Any]) -> list[str]:
    marker = package.get("marker", "")
    if marker and not _needed(marker):
        return []
    hashes = [wheel["hashes"]["sha256"] for wheel in package.get("wheels", []) if _fits(wheel)]
    if not hashes:
        hashes = [package["sdist"]["hashes"]["sha256"]]
    name = f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else "")
    last = len(hashes) - 1
    return [
        f"{name} \\",
        *(
            f"    --hash=sha256:{digest}" + ("" if place == last else " \\")
            for place, digest in enumerate(hashes)
        ),
    ]


def _needed(marker: str) -> bool:
    """Whether Linux needs the package under one of our Pythons."""
    return any(
        Marker(marker).evaluate(
            {**_LINUX, "python_version": python, "python_full_version": f"{python}.9"}
        )
        for python in _PYTHONS
    )


def _fits(wheel: dict[str, Any]) -> bool:
    name = str(wheel.get("name") or wheel["url"]).rsplit("/", 1)[-1]
    abi3 = _ABI3.search(name)
    if "musllinux" in name or not _WANTED.search(name):
        return False
    return abi3 is None or int(abi3[1]) <= _NEWEST_MINOR


if __name__ == "__main__":
    main(sys.argv[1:])
