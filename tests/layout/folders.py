"""The product's folders as `pyproject.toml` names them, and the package that they make."""

from __future__ import annotations

import functools
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = "enginehouse"
#: The name of the folder `enginehouse/` among the others.
CORE = "core"


def pyproject(root: Path = ROOT) -> dict[str, Any]:
    """The project's configuration."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


@functools.cache
def folders(root: Path = ROOT) -> dict[str, str]:
    """Package → folder, for example ``enginehouse.api`` → ``api``."""
    mapping: dict[str, str] = pyproject(root)["tool"]["setuptools"]["package-dir"]
    return mapping


def folder_of(module: str) -> str | None:
    """The folder of a module's name; `CORE` for `enginehouse/`, None for other packages."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    return parts[1] if ".".join(parts[:2]) in folders() and len(parts) > 1 else CORE


def tree_packages(root: Path = ROOT) -> Iterator[str]:
    """Every package of the tree: each folder with an ``__init__.py``, by its import name."""
    for package, folder in folders(root).items():
        for init in sorted((root / folder).rglob("__init__.py")):
            inside = init.parent.relative_to(root / folder).parts
            yield ".".join((package, *inside))


def assemble(target: Path, root: Path = ROOT, *, copy: bool = False) -> None:
    """Lay the folders out as the one package that they are imported as.

    Args:
        target: gets the folder ``enginehouse``; an earlier one is removed.
        copy: copies files, which may then be changed; otherwise files are links.
    """
    package = target / PACKAGE
    shutil.rmtree(package, ignore_errors=True)
    for name, folder in folders(root).items():
        place = target.joinpath(*name.split("."))
        for source in sorted((root / folder).rglob("*.py")):
            file = place / source.relative_to(root / folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            if copy:
                shutil.copyfile(source, file)
            else:
                file.symlink_to(source)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
