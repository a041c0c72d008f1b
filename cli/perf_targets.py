"""`enginehouse perf targets`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from enginehouse.cli.checkout import require_checkout
from enginehouse.cli.common import JsonOption, current_settings, print_json, say
from enginehouse.cli.markdown import print_markdown
from enginehouse.cli.measured_stack import measured_stack, served_model
from enginehouse.perf.bench import run_bench
from enginehouse.perf.campaign import measured_versions

from enginehouse.host import host_fingerprint


def targets(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of path and raw; medians count.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Measure the path's figures and compare each with its target; takes about ten minutes.

    Starts its own stacks one after another; nothing else should run on the machine.

    Example: `enginehouse perf targets`
    """
    require_checkout("enginehouse perf targets")
    from enginehouse.perf.targets.carriage import carried, idle
    from enginehouse.perf.targets.outcome import TargetsReport, markdown
    from enginehouse.perf.targets.path import from_bench
    from enginehouse.perf.targets.share import adapter_share
    from enginehouse.perf.targets.start import start_and_rest

    settings = current_settings()
    with measured_stack(settings):
        served = served_model(settings)
        bench = run_bench(
            settings, served.target, served.bundle, served.engine, rounds=rounds, report=say
        )
        outcomes = from_bench(bench)
    say("the adapter's share of TTFT")
    outcomes += adapter_share(served.bundle)
    say("the path with a generator of tokens for an engine")
    outcomes.append(carried(served.bundle))
    say("idle streams")
    outcomes += idle(served.bundle)
    say("starting, memory, shared prefix")
    outcomes += start_and_rest(served.bundle)
    report = TargetsReport(
        measured_at=datetime.now(UTC),
        host=host_fingerprint(with_gpus=True),
        versions=measured_versions(),
        outcomes=outcomes,
    )
    settings.reports_dir.mkdir(parents=True, exist_ok=True)
    path = settings.reports_dir / "targets.json"
    path.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_markdown(markdown(report))
    say(f"report: {path}")
