"""`enginehouse bench`."""

from __future__ import annotations

from typing import Annotated

import typer
from enginehouse.cli.checkout import require_checkout
from enginehouse.cli.common import JsonOption, current_settings, print_json, say
from enginehouse.cli.markdown import print_markdown
from enginehouse.cli.measured_stack import measured_stack, served_model
from enginehouse.perf.bench import run_bench
from enginehouse.perf.bench_report import with_circumstances, write_report
from enginehouse.perf.workload import NEW_TOKENS

from enginehouse.settings import Settings


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each side; reports medians.")] = 5,
    stages: Annotated[
        bool,
        typer.Option("--stages", help="Measure the cost of each endpoint stage instead."),
    ] = False,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of each answer.")] = NEW_TOKENS,
    as_json: JsonOption = False,
) -> None:
    """Measure the raw pipeline and the whole path side by side in one run.

    Uses the running stack, or starts one for the measurement.

    Example: `enginehouse bench --rounds 3`
    """
    settings = current_settings()
    if stages:
        require_checkout("enginehouse bench --stages")
        with measured_stack(settings):
            _stage_costs(settings, rounds)
        return
    with measured_stack(settings):
        served = served_model(settings)
        measured = run_bench(
            settings,
            served.target,
            served.bundle,
            served.engine,
            rounds=rounds,
            tokens=tokens,
            report=say,
        )
    data = with_circumstances(measured)
    path, text = write_report(data, settings.reports_dir)
    if as_json:
        print_json(data)
    else:
        print_markdown(text)
    say(f"report: {path}")


def _stage_costs(settings: Settings, rounds: int) -> None:
    from enginehouse.perf.targets.stage_costs import measure_stages

    served = served_model(settings)
    text = measure_stages(settings, served.bundle, requests=50 * rounds, rounds=rounds, report=say)
    path = settings.reports_dir / "stages.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print_markdown(text)
    say(f"report: {path}")
