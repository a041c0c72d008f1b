"""Serves chat, completions, embeddings and models from a copy of the package without some folders.

Called with a scratch directory and the folders that are left out; prints ``stage NAME`` for each
stage that was found, then ``served``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_FOLDERS = (
    "api", "build", "cli", "client", "engine", "gateway", "model_repository", "registry", "stack",
)  # fmt: skip


def copied_package(scratch: Path, deleted: list[str]) -> None:
    """The package as it is imported, without some folders, in front of everything else."""
    package = scratch / "package" / "enginehouse"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_ROOT / "enginehouse", package, ignore=ignored)
    for folder in _FOLDERS:
        shutil.copytree(_ROOT / folder, package / folder, ignore=ignored)
    for folder in deleted:
        shutil.rmtree(package / folder)
    # The editable installation would find the folders where they are.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
    sys.path.insert(0, str(package.parent))
    sys.path.append(str(_ROOT))


def main(scratch: Path, deleted: list[str]) -> None:
    copied_package(scratch, deleted)
    from enginehouse.api.registration import registered

    for stage in registered():
        print("stage", stage.name)
    from tests.gateway.plain_requests import ask_everything

    ask_everything(scratch / "home")
    print("served")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
