"""Shared by all commands: settings, the console, and JSON output."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from enginehouse.cli.terminal import Terminal, styled

from enginehouse.settings import Settings, load_settings
from enginehouse.urls import redacted

console = Terminal()
#: Progress is written to stderr, so that `--json` on stdout stays clean.
progress = Terminal(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def current_settings() -> Settings:
    """Settings from this process's environment.

    Raises:
        SettingsError: names the variable.
    """
    return load_settings(os.environ, cwd=Path.cwd())


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    typer.echo(json.dumps(value, indent=2))


def say(text: str) -> None:
    """Print one line of progress."""
    progress.print(styled(("·", "dim"), f" {redacted(text)}"), highlight=False, soft_wrap=True)


def tell(text: str) -> None:
    """Like `say`, for servers: ignores write errors, for example of a full disk."""
    with suppress(OSError):
        say(text)
