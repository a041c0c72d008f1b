"""`python -m enginehouse.stack.prepare`: the registry work of `up`, in a short-lived process.

MLflow and the builders take a hundred MiB or more, which the supervisor would otherwise keep.
Messages for the user go to stdout with a prefix; other output comes from libraries.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enginehouse.registry import CHAMPION, Registry
from enginehouse.stack.default_model import ensure_model
from enginehouse.stack.marks import FAILURE, PROGRESS

from enginehouse.errors import EnginehouseError, StackError
from enginehouse.settings import load_settings


def main() -> int:
    """Ensure that a model has a champion; returns the exit status."""
    try:
        settings = load_settings(os.environ, cwd=Path.cwd())
        registry = Registry(settings)
        ensure_model(settings, registry, lambda text: _say(PROGRESS, text))
        if not any(CHAMPION in found.aliases for found in registry.snapshot().values()):
            raise StackError(
                "no model has a champion: promote one with `enginehouse promote NAME VERSION`"
            )
    except EnginehouseError as error:
        _say(FAILURE, str(error))
        return 1
    return 0


def _say(mark: str, text: str) -> None:
    for line in text.splitlines():
        print(f"{mark}{line}", flush=True)  # noqa: T201 - read by the parent


if __name__ == "__main__":
    sys.exit(main())
