"""The command line."""

from __future__ import annotations

import sys

from enginehouse.errors import EnginehouseError
from enginehouse.urls import redacted


def main() -> None:
    """Run the command line; one of our errors prints one line and gives exit status 1."""
    from enginehouse.cli.app import app
    from enginehouse.cli.terminal import Terminal, styled, take_any_text

    take_any_text()
    try:
        app()
    except EnginehouseError as error:
        Terminal(stderr=True).print(
            styled(("error:", "bold red"), f" {redacted(str(error))}"), soft_wrap=True
        )
        sys.exit(1)
