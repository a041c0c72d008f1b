"""The command line."""

from __future__ import annotations

import sys

from rich.console import Console

from enginehouse.errors import EnginehouseError


def main() -> None:
    """Run the command line; an error of ours is one line and exit status 1."""
    from enginehouse.cli.app import app

    try:
        app()
    except EnginehouseError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)
        sys.exit(1)


def _plain(text: str) -> str:
    """Brackets in a message are text, not markup."""
    return text.replace("[", r"\[")
