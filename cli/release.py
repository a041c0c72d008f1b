"""`enginehouse register`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from enginehouse.cli.common import console, current_settings, say
from enginehouse.registry import Registry

from enginehouse.bundle import Bundle


def register(
    bundle: Annotated[Path, typer.Argument(help="Directory that `enginehouse build` wrote.")],
    name: Annotated[str, typer.Option("--name", help="Model to register it under.")],
    label: Annotated[
        str | None,
        typer.Option("--label", help="1.4.0, 2026-11-21, 2026-11-21.2 or build-1234."),
    ] = None,
) -> None:
    """Register an engine bundle as the next version of a model.

    Example: `enginehouse register .enginehouse/bundles/smollm2 --name smollm2`
    """
    opened = Bundle.open(bundle.resolve())
    say(f"checking and copying {len(opened.manifest.files)} files")
    record = Registry(current_settings()).register(opened, name, label)
    console.print(f"registered {name} version {record.version}")
    console.print(f"next: enginehouse promote {name} {record.version}")
