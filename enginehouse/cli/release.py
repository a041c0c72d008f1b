"""`enginehouse register`, `promote`, `versions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from enginehouse.bundle import Bundle
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.registry import Registry

NameArgument = Annotated[str, typer.Argument(help="Registered model, for example smollm2.")]


def register(
    bundle: Annotated[Path, typer.Argument(help="Directory that `enginehouse build` wrote.")],
    name: Annotated[str, typer.Option("--name", help="Model to register it under.")],
) -> None:
    """Register an engine bundle as the next version of a model.

    Example: `enginehouse register .enginehouse/bundles/smollm2 --name smollm2`
    """
    opened = Bundle.open(bundle.resolve())
    say(f"checking and copying {len(opened.manifest.files)} files")
    record = Registry(current_settings()).register(opened, name)
    console.print(f"registered {name} version {record.version}")
    console.print(f"next: enginehouse promote {name} {record.version}")


def promote(
    name: NameArgument, version: Annotated[int, typer.Argument(min=1, help="Version number.")]
) -> None:
    """Make a version the champion; a running stack takes it over within seconds.

    Example: `enginehouse promote smollm2 2`
    """
    before = Registry(current_settings()).promote(name, version)
    if before is None or before == version:
        console.print(f"{name} version {version} is the champion")
    else:
        console.print(f"{name} version {version} is the champion, {before} is `previous`")


def versions(name: NameArgument, as_json: JsonOption = False) -> None:
    """List a model's versions, newest first.

    Example: `enginehouse versions smollm2 --json`
    """
    found = Registry(current_settings()).versions(name)
    if as_json:
        print_json([record.as_json() for record in found])
        return
    table = Table("version", "aliases", "created", "runtime", "weights", "checkpoint", title=name)
    for record in found:
        table.add_row(
            str(record.version),
            ", ".join(record.aliases),
            f"{record.created.astimezone():%Y-%m-%d %H:%M}",
            record.tags.get("enginehouse.runtime", ""),
            record.tags.get("enginehouse.weight_format", ""),
            record.tags.get("enginehouse.checkpoint_sha256", "")[:12],
        )
    console.print(table)
