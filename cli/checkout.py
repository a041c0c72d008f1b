"""Commands that work from a checkout of the project only."""

from __future__ import annotations

from importlib.util import find_spec

from enginehouse.errors import CheckoutOnlyError


def require_checkout(command: str) -> None:
    """Refuse a command whose code is in no wheel.

    Raises:
        CheckoutOnlyError: naming the command and where it works.
    """
    if find_spec("enginehouse.perf.targets") is None:
        raise CheckoutOnlyError(
            f"`{command}` measures the project itself, and its code is not in the installed "
            "package: run it in a checkout of the repository, after `make .venv/.runtimes`"
        )
