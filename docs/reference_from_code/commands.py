"""Every command with its arguments and options, from the command line's own declarations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from enginehouse.cli.app import app

from docs.reference_from_code.markdown import code, sentence, table

_HEAD = """# Commands

Made from the declarations of the command line. `enginehouse COMMAND --help` shows the same with
an example.

"""
_COLUMNS = ["parameter", "takes", "default", "meaning"]


def page() -> str:
    """The page of all commands."""
    return _HEAD + "\n".join(_section(*each) for each in _walk(typer.main.get_command(app), []))


def _walk(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from _walk(command.get_command(None, name), [*path, name])
    elif not command.hidden:
        yield path, command


def _section(path: list[str], command: Any) -> str:
    rows = [_row(each) for each in command.params if each.name != "help"]
    parameters = f"\n{table(_COLUMNS, rows)}" if rows else ""
    return f"## {' '.join(path)}\n\n{sentence(command.help or '')}\n{parameters}"


def _row(parameter: Any) -> list[str]:
    argument = parameter.param_type_name == "argument"
    names = [*parameter.opts, *parameter.secondary_opts]
    shown = parameter.default
    return [
        ", ".join(code(name.upper() if argument else name) for name in names),
        _takes(parameter),
        "required" if parameter.required else "" if shown in (None, (), []) else code(shown),
        sentence(str(parameter.help or "")),
    ]


def _takes(parameter: Any) -> str:
    text = str(parameter.metavar or parameter.display_type(None))
    return text.strip("<>").replace("|", ", ")
