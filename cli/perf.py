"""`enginehouse perf`: load runs, comparisons, capacity."""

from __future__ import annotations

import os
from typing import Annotated, Any, cast, get_args

import typer
from enginehouse.cli import perf_capacity, perf_compare, perf_plan, perf_targets
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.cli.markdown import print_markdown
from enginehouse.cli.measured_stack import MeasuredModel, measured_stack, served_model
from enginehouse.cli.terminal import styled
from enginehouse.client.http import key_from_environment
from enginehouse.perf.campaign import CampaignReport, Subject, run_campaign
from enginehouse.perf.drivers import (
    DRIVERS,
    INSTALLED,
    check_driver,
    install_driver,
    make_driver,
)
from enginehouse.perf.profile import EntryPoint, load_profile, profile_names
from enginehouse.perf.prompts import PromptMaker
from enginehouse.registry import Registry

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    help="Measure: load profiles, comparisons of versions, capacity.",
    no_args_is_help=True,
)


@app.command("profiles")
def profiles() -> None:
    """List the load profiles that come with the package.

    Example: `enginehouse perf profiles`
    """
    for name in profile_names():
        profile = load_profile(name)
        levels = ", ".join(f"{level:g}" for level in profile.levels)
        console.print(styled((name, "bold"), f"  {profile.description}"))
        console.print(f"  {profile.load.kind}: {levels}", style="dim")


@app.command("install")
def install_tools(
    tool: Annotated[str, typer.Argument(help=f"Which: {', '.join(INSTALLED)}.")] = "perf_analyzer",
) -> None:
    """Install a load tool: perf_analyzer if it is not on PATH; others in their own environment.

    Example: `enginehouse perf install aiperf`
    """
    found = install_driver(tool, current_settings().tools_dir, os.environ, say)
    console.print(found, highlight=False)


@app.command("run")
def run(
    profile: Annotated[str, typer.Argument(help="A profile's name, or the path of a file.")],
    entry_point: Annotated[
        str, typer.Option(help=f"Where requests enter: {', '.join(get_args(EntryPoint))}.")
    ] = "adapter",
    door: Annotated[str | None, typer.Option(hidden=True)] = None,
    driver: Annotated[
        str, typer.Option(help=f"Tool that sends the requests: {', '.join(DRIVERS)}.")
    ] = "perf_analyzer",
    model: Annotated[str | None, typer.Option(help="A served model; the first by default.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each level; reports medians.")] = 3,
    log: Annotated[
        bool, typer.Option("--log/--no-log", help="Put the report into the version's MLflow run.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run a load profile against the running stack, or one of its own, and write a report.

    Example: `enginehouse perf run concurrency --entry-point tensorrt_llm`
    """
    # Only plots need their library, which is slow to import.
    from enginehouse.perf.report import write_campaign

    settings = current_settings()
    chosen = load_profile(profile)
    entry, api_key = _entry_point(entry_point, door), key_from_environment()
    check_driver(driver, entry, api_key)
    if driver in INSTALLED:
        install_driver(driver, settings.tools_dir, os.environ, say)
    with measured_stack(settings):
        served = served_model(settings, model)
        sender = make_driver(
            driver,
            entry,
            settings.addresses,
            served.target,
            tools=settings.tools_dir,
            api_key=api_key,
        )
        report = run_campaign(
            chosen,
            sender,
            PromptMaker(served.bundle),
            _subject(entry, served),
            repeats=repeats,
            report=say,
        )
    written = write_campaign(report, settings.reports_dir)
    if log:
        _log(settings, report, written.folder)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_markdown(written.text)
    say(f"report: {written.page}")


def _entry_point(name: str, door: str | None) -> EntryPoint:
    """The chosen entry point; `door` is the value of the deprecated option `--door`.

    Raises:
        SettingsError: if there is no such entry point.
    """
    what = "entry point"
    if door is not None:
        say("--door is deprecated: use --entry-point")
        what, name = "door", door
    if name not in get_args(EntryPoint):
        raise SettingsError(f"no {what} {name!r}; there are: {', '.join(get_args(EntryPoint))}")
    return cast("EntryPoint", name)


def _subject(entry_point: EntryPoint, served: MeasuredModel) -> Subject:
    settings = served.engine.model_dump(exclude_none=True)
    return Subject(entry_point, served.target.model, served.version, settings)


def _log(settings: Settings, report: CampaignReport, folder: Any) -> None:
    metrics = {
        f"perf.{report.profile.name}.{report.entry_point}.{level.level:g}.{name}": spread.median
        for level in report.levels
        for name, spread in level.spread.items()
    }
    Registry(settings).log_performance(report.model, report.version, folder, metrics)
    say(f"logged to the MLflow run of {report.model} version {report.version}")


app.command("compare")(perf_compare.compare)
app.command("plan")(perf_plan.plan)
app.command("capacity")(perf_capacity.capacity)
app.command("targets")(perf_targets.targets)
