"""`enginehouse bench`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import httpx
import typer
from rich.markdown import Markdown

from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.client import Target
from enginehouse.client.chat import ChatClient
from enginehouse.errors import ServingError, StackError
from enginehouse.perf.bench import run_bench
from enginehouse.perf.bench_report import with_circumstances, write_report
from enginehouse.perf.stage_costs import measure_stages
from enginehouse.registry import BundleCache, Registry
from enginehouse.settings import Settings
from enginehouse.stack.overrides import override_settings
from enginehouse.stack.process import ManagedProcess

_START_TIMEOUT_S = 180.0


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each side; medians count.")] = 5,
    stages: Annotated[
        bool, typer.Option("--stages", help="What each stage of the endpoint costs, instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the raw pipeline against the whole path, side by side in one run.

    Uses the running stack, or starts one for the time of the measurement.

    Example: `enginehouse bench --rounds 3`
    """
    settings = current_settings()
    if stages:
        with _stack(settings):
            _stage_costs(settings, rounds)
        return
    with _stack(settings):
        with ChatClient(settings.addresses.api_url) as client:
            served = client.generators()[0]
        target = Target(served["id"], served["enginehouse"]["version"])
        cache = BundleCache(settings.cache_dir, Registry(settings))
        bundle = cache.fetch(target.model, served["enginehouse"]["version"])
        engine = override_settings(bundle.manifest.engine_settings, os.environ)
        measured = run_bench(settings, target, bundle, engine, rounds=rounds, report=say)
    data = with_circumstances(measured)
    path, text = write_report(data, settings.reports_dir)
    if as_json:
        print_json(data)
    else:
        console.print(Markdown(text))
    say(f"report: {path}")


def _stage_costs(settings: Settings, rounds: int) -> None:
    text = measure_stages(settings, requests=50 * rounds, rounds=rounds, report=say)
    path = settings.reports_dir / "stages.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    console.print(Markdown(text))
    say(f"report: {path}")


@contextmanager
def _stack(settings: Settings) -> Iterator[None]:
    """The running stack, or one of our own."""
    if _ready(settings):
        yield
        return
    say("starting a stack for the measurement")
    log = settings.logs_dir / "bench-stack.log"
    env = {**os.environ, "ENGINEHOUSE_HOME": str(settings.home)}
    child = ManagedProcess("stack", [sys.executable, "-m", "enginehouse", "up"], env, log)
    try:
        _wait_ready(settings, child)
        yield
    finally:
        child.stop(12.0)


def _wait_ready(settings: Settings, child: ManagedProcess) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while not _ready(settings):
        if not child.running() or time.monotonic() > until:
            raise StackError(
                f"the stack did not start; the end of {child.log}:\n{child.log_tail()}"
            )
        time.sleep(0.2)


def _ready(settings: Settings) -> bool:
    """Whether a text generator is served; the adapter may be ready for another model before."""
    try:
        url = f"{settings.addresses.api_url}/health/ready"
        if not httpx.get(url, timeout=10.0, trust_env=False).is_success:
            return False
        with ChatClient(settings.addresses.api_url) as client:
            return bool(client.generators())
    except (httpx.HTTPError, ServingError):
        return False
