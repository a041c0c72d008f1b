"""All commands in one application; each is imported when it is used.

The libraries of some commands (MLflow, OpenVINO, scipy, plots) take seconds and a hundred MiB,
which other commands should not pay for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from enginehouse import __version__

#: Command → the function or application behind it, below `enginehouse.cli`.
_COMMANDS = {
    "build": "build:build",
    "prove": "build:prove_bundle",
    "register": "release:register",
    "promote": "rollouts:promote",
    "rollback": "rollouts:rollback",
    "rollout": "rollouts:rollout",
    "versions": "versions:versions",
    "diff": "versions:diff",
    "label": "versions:label",
    "transfer": "versions:transfer",
    "retire": "versions:retire",
    "delete": "versions:delete",
    "gc": "versions:gc",
    "up": "serving:up",
    "controller": "controller:controller",
    "status": "serving:status",
    "chat": "serving:chat",
    "bench": "bench:bench",
    "perf": "perf:app",
    "experiment": "experiments:app",
    "usage": "usage:usage",
    "audit": "audit:app",
    "keys": "keys:app",
    "evaluate": "quality:evaluate_versions",
    "drift": "quality:drift",
    "shadow": "quality:shadow",
}


class _Commands(TyperGroup):
    """Imports commands by name, see click's "Lazily Loading Subcommands"."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(f"enginehouse.cli.{module}"), name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(rich_markup_mode="markdown", add_completion=False)
            found.command(cmd_name)(function)
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    name="enginehouse",
    help="From a model checkpoint to a versioned, observable, safely released chat endpoint.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"enginehouse {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass
