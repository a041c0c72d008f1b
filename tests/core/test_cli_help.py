"""Every command tells how it is used."""

from __future__ import annotations

import pytest
from enginehouse.cli.app import app
from typer.testing import CliRunner

_COMMANDS = [
    "build",
    "register",
    "promote",
    "rollback",
    "versions",
    "diff",
    "label",
    "transfer",
    "retire",
    "delete",
    "gc",
    "up",
    "controller",
    "status",
    "chat",
    "bench",
    "evaluate",
    "drift",
    "shadow",
]


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert "Example:" in done.stdout
