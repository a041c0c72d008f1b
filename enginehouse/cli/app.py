"""All commands in one application."""

from __future__ import annotations

from typing import Annotated

import typer

from enginehouse import __version__
from enginehouse.cli import (
    audit,
    bench,
    build,
    controller,
    experiments,
    keys,
    perf,
    quality,
    release,
    rollouts,
    serving,
    usage,
    versions,
)

app = typer.Typer(
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


app.command("build")(build.build)
app.command("prove")(build.prove_bundle)
app.command("register")(release.register)
app.command("promote")(rollouts.promote)
app.command("rollback")(rollouts.rollback)
app.add_typer(rollouts.rollout, name="rollout")
app.command("versions")(versions.versions)
app.command("diff")(versions.diff)
app.command("label")(versions.label)
app.command("transfer")(versions.transfer)
app.command("retire")(versions.retire)
app.command("delete")(versions.delete)
app.command("gc")(versions.gc)
app.command("up")(serving.up)
app.command("controller")(controller.controller)
app.command("status")(serving.status)
app.command("chat")(serving.chat)
app.command("bench")(bench.bench)
app.add_typer(perf.app, name="perf")
app.add_typer(experiments.app, name="experiment")
app.command("usage")(usage.usage)
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.command("evaluate")(quality.evaluate_versions)
app.command("drift")(quality.drift)
app.command("shadow")(quality.shadow)
