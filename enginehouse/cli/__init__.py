"""The command line."""

from __future__ import annotations

import sys

from enginehouse.errors import EnginehouseError


def main() -> None:
    """Run the command line; an error of ours is one line and exit status 1."""
    from enginehouse.cli.app import app
    from enginehouse.cli.terminal import Terminal, styled, take_any_text

    take_any_text()
    try:
        app()
    except EnginehouseError as error:
        Terminal(stderr=True).print(styled(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(1)
