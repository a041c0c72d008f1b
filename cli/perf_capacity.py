"""`enginehouse perf capacity`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, current_settings, print_json, say
from enginehouse.cli.durations import latency_s
from enginehouse.cli.markdown import print_markdown
from enginehouse.cli.measured_stack import MeasuredModel, measured_stack, served_model
from enginehouse.client.http import key_from_environment
from enginehouse.perf.capacity.report import report_of, write_capacity
from enginehouse.perf.capacity.search import Found, LatencyLimits, search
from enginehouse.perf.capacity.sizing import UTILISATION, size
from enginehouse.perf.drivers import OwnDriver
from enginehouse.perf.loads import load_of, warm_up_of
from enginehouse.perf.measurement import Figures, figures_of
from enginehouse.perf.profile import Profile, RequestRate, load_profile
from enginehouse.perf.prompts import PromptMaker
from enginehouse.registry import Registry

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings

_MS = 1000.0
_NONE_HELD = 1


def capacity(
    ttft_p95: Annotated[
        float | None,
        typer.Option(parser=latency_s, metavar="DURATION", help="Time to first token, as 500ms."),
    ] = None,
    itl_p95: Annotated[
        float | None,
        typer.Option(parser=latency_s, metavar="DURATION", help="Time between tokens, as 50ms."),
    ] = None,
    profile: Annotated[
        str, typer.Option(help="A profile with a request rate; its first level is tried first.")
    ] = "poisson",
    seconds: Annotated[
        float | None, typer.Option(min=1.0, help="How long each rate is tried, in seconds.")
    ] = None,
    demand: Annotated[
        float | None, typer.Option(min=0.0, help="Requests a second of the whole fleet.")
    ] = None,
    hour_price: Annotated[
        float | None, typer.Option(min=0.0, help="Price of a replica for an hour.")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(min=0.05, max=1.0, help="Share of the capacity to plan with.")
    ] = UTILISATION,
    model: Annotated[str | None, typer.Option(help="A served model; the first by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the highest request rate within an SLO, and size a fleet from it.

    Requests go through the adapter, like those of users. Exit status 1: no rate meets the SLO.

    Example: `enginehouse perf capacity --ttft-p95 500ms --itl-p95 50ms --demand 20`
    """
    limits = _limits(ttft_p95, itl_p95)
    chosen = _profile(profile, seconds)
    settings = current_settings()
    with measured_stack(settings):
        served = served_model(settings, model)
        found = _search(settings, served, chosen, limits)
    best = found.best
    sizing = None
    if best is not None:
        sizing = size(
            best.rate,
            best.figures,
            demand_per_s=demand,
            price_per_hour=hour_price,
            utilisation=utilisation,
        )
    report = report_of(
        found,
        limits,
        sizing,
        model=served.target.model,
        version=served.version,
        profile=chosen.name,
    )
    folder, text = write_capacity(report, settings.reports_dir)
    if sizing is not None:
        metrics = {"perf.capacity.requests_per_s": sizing.requests_per_s}
        Registry(settings).log_performance(report.model, report.version, folder, metrics)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        print_markdown(text)
    say(f"report: {folder}")
    if sizing is None:
        raise typer.Exit(_NONE_HELD)


def _limits(ttft_s: float | None, inter_token_s: float | None) -> LatencyLimits:
    if ttft_s is None and inter_token_s is None:
        raise SettingsError("a capacity needs a limit: give --ttft-p95, --itl-p95 or both")
    scaled = [None if value is None else _MS * value for value in (ttft_s, inter_token_s)]
    return LatencyLimits(*scaled)


def _profile(name: str, seconds: float | None) -> Profile:
    chosen = load_profile(name)
    if not isinstance(chosen.load, RequestRate):
        raise SettingsError(
            f"profile {name}: a capacity is a rate of requests, and its load is "
            f"{chosen.load.kind.replace('_', ' ')}; give one whose load is request_rate"
        )
    changes = {} if seconds is None else {"duration_s": seconds}
    return chosen.model_copy(update={"load": chosen.load.model_copy(update=changes)})


def _search(
    settings: Settings, served: MeasuredModel, profile: Profile, limits: LatencyLimits
) -> Found:
    driver = OwnDriver("adapter", settings.addresses, served.target, key_from_environment())
    maker = PromptMaker(served.bundle)
    driver.run(warm_up_of(profile, maker))
    tried = 0

    def measure(rate: float) -> Figures:
        nonlocal tried
        tried += 1
        load = load_of(profile, maker, rate, f"{os.getpid()} {tried}")
        figures = figures_of(driver.run(load).records, profile.slo)
        said = limits.broken_by(figures) or "held"
        say(f"{rate:.2f} requests/s: TTFT p95 {figures.ttft.p95:.0f} ms, inter-token p95 "
            f"{figures.inter_token.p95:.1f} ms: {said}")  # fmt: skip
        return figures

    return search(measure, limits, float(profile.levels[0]))
