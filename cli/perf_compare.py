"""`enginehouse perf compare`."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from enginehouse.cli.common import JsonOption, current_settings, print_json, say
from enginehouse.cli.markdown import print_markdown
from enginehouse.perf.profile import load_profile
from enginehouse.registry import BundleCache, Registry
from enginehouse.stack.overrides import override_settings

from enginehouse.paired import LEAST_PAIRS, Change

_SLOWER, _UNCERTAIN = 1, 3


def compare(
    model: Annotated[str, typer.Argument(help="A registered model.")],
    first: Annotated[int, typer.Argument(help="The version to compare with.")],
    second: Annotated[int, typer.Argument(help="The version that may be slower.")],
    profile: Annotated[str, typer.Option(help="A closed-loop profile; its first level.")] = (
        "standard"
    ),
    margin: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="The change to find: 0.1 is a tenth.")
    ] = 0.1,
    pairs: Annotated[
        int, typer.Option(min=LEAST_PAIRS, help="Maximum number of pairs of bursts.")
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Measure two versions alternately on this machine, and tell whether the second is slower.

    Both are loaded into a separate Triton, so nothing that is served changes.
    Exit status: 0 as fast or faster, 1 slower, 3 uncertain.

    Example: `enginehouse perf compare smollm2 7 8`
    """
    # The measurement and its plots need libraries that are slow to import.
    from enginehouse.perf.compare.measure import Effort
    from enginehouse.perf.compare.measure import compare as measure
    from enginehouse.perf.compare.report import write_comparison

    settings = current_settings()
    chosen = load_profile(profile)
    registry = Registry(settings)
    cache = BundleCache(settings.cache_dir, registry)
    sides = {}
    # Comparing a version with itself shows the noise.
    names = (f"version {first}", f"version {second}" + (" again" if first == second else ""))
    for name, version in zip(names, (first, second), strict=True):
        bundle = cache.fetch(model, version)
        sides[name] = (bundle, override_settings(bundle.manifest.engine_settings, os.environ))
    found = measure(model, sides, chosen, Effort(margin, pairs), report=say)
    written = write_comparison(found, settings.reports_dir)
    ratios = {f"perf.compare.{first}.{name}": one.ratio for name, one in found.metrics.items()}
    registry.log_performance(model, second, written.folder, ratios)
    if as_json:
        print_json(found.model_dump(mode="json") | {"change": found.change.value})
    else:
        print_markdown(written.text)
    say(f"report: {written.folder}")
    if found.change is Change.SLOWER:
        raise typer.Exit(_SLOWER)
    if found.change is Change.UNCERTAIN:
        raise typer.Exit(_UNCERTAIN)
