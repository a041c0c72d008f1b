"""`enginehouse experiment start`, `stop`, `list`, `report`."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.cli.terminal import styled
from enginehouse.registry import Registry
from enginehouse.registry.experiments.definition import load_experiment
from enginehouse.registry.experiments.store import ExperimentRecord, ExperimentStore
from rich.table import Table

from enginehouse.traffic import Feedback, RequestSample
from enginehouse.traffic.exposures import (
    EXPERIMENT_SAMPLES,
    EXPOSURES,
    FEEDBACK,
    Exposure,
    read_journal,
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="A/B experiments: arms, stable assignment, analysis.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="Experiment, as its file names it.")]


@app.command("start")
def start(
    file: Annotated[Path, typer.Argument(help="Definition, for example experiment.yaml.")],
) -> None:
    """Start an experiment; adapters apply it within seconds.

    Example: `enginehouse experiment start experiment.yaml`
    """
    # scipy's import would delay every command by half a second.
    from enginehouse.registry.experiments.analysis import required_units

    spec = load_experiment(file)
    store = ExperimentStore(Registry(current_settings()))
    record = store.start(spec, now=time.time(), actor=getpass.getuser())
    console.print(f"experiment {spec.name} runs on {spec.model}: {_arms(record)}")
    needed = required_units(spec)
    if needed is None:
        say("give `baseline` (and `spread` for means) to learn how many units it needs")
    else:
        say(f"{spec.primary} needs {needed} units ({spec.unit}s) on {spec.arms[0].name}")


@app.command("stop")
def stop(name: NameArgument) -> None:
    """Stop an experiment; its data are kept.

    Example: `enginehouse experiment stop warmer-prompt`
    """
    record = ExperimentStore(Registry(current_settings())).stop(name, now=time.time())
    console.print(f"experiment {name} on {record.spec.model} has ended")
    console.print(f"next: enginehouse experiment report {name}")


@app.command("list")
def list_experiments(
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List experiments, newest first.

    Example: `enginehouse experiment list --json`
    """
    found = ExperimentStore(Registry(current_settings())).list(model)
    if as_json:
        print_json([record.model_dump(mode="json") for record in found])
        return
    table = Table("name", "model", "state", "started", "unit", "share", "arms", "primary")
    for record in found:
        spec = record.spec
        started = datetime.fromtimestamp(record.started_at, UTC).astimezone()
        table.add_row(
            spec.name,
            spec.model,
            "running" if record.running else "ended",
            f"{started:%Y-%m-%d %H:%M}",
            spec.unit,
            f"{spec.share:.0%}",
            _arms(record),
            spec.primary.value,
        )
    console.print(table)


@app.command("report")
def report(
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory for report.md and report.png.")
    ] = None,
) -> None:
    """Analyse an experiment: intervals, sample size, sample ratio.

    Example: `enginehouse experiment report warmer-prompt --out report`
    """
    from enginehouse.registry.experiments.analysis import analyse
    from enginehouse.registry.experiments.report import conclusion, write_report

    settings = current_settings()
    record = ExperimentStore(Registry(settings)).find(name)
    journal = settings.journal_dir
    ended = float("inf") if record.stopped_at is None else record.stopped_at
    exposures = (
        exposure
        for exposure in read_journal(journal, EXPOSURES, Exposure)
        if exposure.experiment == name
        and exposure.model == record.spec.model
        and record.started_at <= exposure.at <= ended
    )
    found = analyse(
        record.spec,
        exposures,
        read_journal(journal, EXPERIMENT_SAMPLES, RequestSample),
        read_journal(journal, FEEDBACK, Feedback),
    )
    path = write_report(found, out or settings.reports_dir / "experiments" / name)
    for warning in found.warnings:
        console.print(styled(("warning:", "bold red"), f" {warning}"), soft_wrap=True)
    console.print(conclusion(found).replace("**", ""), soft_wrap=True)
    console.print(f"report: {path}")


def _arms(record: ExperimentRecord) -> str:
    total = sum(arm.weight for arm in record.route.arms)
    return ", ".join(f"{arm.name} {arm.weight / total:.0%}" for arm in record.route.arms)
