"""Serves chat, completions, embeddings and models from the package without some of its folders.

A server of its own, called with a scratch directory: it imports the adapter from a package that
has no gateway, and what the gateway needs of others. Each line of its input is a case, a JSON list:
the case's directory, then the folders that are left out. A case is a fork with its own gateway.
The answer is a JSON object in a line: ``returncode``, ``stdout`` and ``stderr``. A case prints
``stage NAME`` for each stage that was found, then ``served``.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_FOLDERS = (
    "api", "build", "cli", "client", "engine", "gateway", "model_repository", "registry", "stack",
)  # fmt: skip
_OURS = frozenset({"enginehouse", "tests", "__main__"})


def linked_package(scratch: Path, folders: Sequence[str]) -> Path:
    """A directory with the package as it is imported, of these folders.

    Its entries are links, so that compiled modules are those of the tree.
    """
    package = scratch / "package" / "enginehouse"
    package.mkdir(parents=True)
    for entry in (_ROOT / "enginehouse").iterdir():
        (package / entry.name).symlink_to(entry)
    for folder in folders:
        (package / folder).mkdir()
        for entry in (_ROOT / folder).iterdir():
            (package / folder / entry.name).symlink_to(entry)
    return package


def only_from(package: Path) -> None:
    """Have the package imported from there alone: the editable installation has all folders."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in str(finder)]
    sys.path.insert(0, str(package.parent))
    sys.path.append(str(_ROOT))


def serve(scratch: Path, deleted: list[str]) -> None:
    """Ask an adapter of the package without `deleted`; prints what was found."""
    if "gateway" not in deleted:
        package = linked_package(scratch, ["gateway"])
        for folder in deleted:
            (package / folder).unlink()
        sys.modules["enginehouse"].__path__.append(str(package))
    from enginehouse.api.registration import registered

    for stage in registered():
        print("stage", stage.name)
    from tests.gateway.plain_requests import ask_everything

    ask_everything(scratch / "home")
    print("served")


def others_modules(scratch: Path) -> None:
    """Print the names of the modules of others that the package needs."""
    only_from(linked_package(scratch / "whole", _FOLDERS))
    from enginehouse.api.registration import registered

    registered()
    import_module("tests.gateway.plain_requests")
    print(*(name for name in sys.modules if name.split(".")[0] not in _OURS))


def forked(scratch: Path, work: Callable[[], None]) -> dict[str, Any]:
    """Run `work` in a fork of this process; its exit code and what it wrote."""
    files = [scratch / "stdout", scratch / "stderr"]
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for number, file in enumerate(files, 1):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the caller reads it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out, err = (file.read_text(encoding="utf-8") for file in files)
    return {"returncode": status, "stdout": out, "stderr": err}


def main(scratch: Path) -> None:
    """Answer cases until the input ends."""
    found = forked(scratch, lambda: others_modules(scratch))
    if found["returncode"]:
        sys.exit(found["stderr"])
    for name in found["stdout"].split():
        try:
            import_module(name)
        except ImportError:
            # It is made by the module that contains it.
            continue
    only_from(linked_package(scratch, [folder for folder in _FOLDERS if folder != "gateway"]))
    import_module("enginehouse.api.registration")
    import_module("tests.gateway.plain_requests")
    import_module("tests.default_model").default_tokenizer()
    gc.freeze()
    for line in sys.stdin:
        directory, *deleted = json.loads(line)
        case = Path(directory)
        answer = forked(case, lambda case=case, deleted=deleted: serve(case, deleted))  # type: ignore[misc]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
