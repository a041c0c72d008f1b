"""The stack that is measured, and the model that it serves."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from enginehouse.cli.common import say
from enginehouse.client import Target
from enginehouse.client.chat import ChatClient
from enginehouse.registry import BundleCache, Registry
from enginehouse.stack.overrides import override_settings
from enginehouse.stack.process import ManagedProcess

from enginehouse.bundle import Bundle
from enginehouse.errors import ModelNotFoundError, ServingError, StackError
from enginehouse.manifest import EngineSettings
from enginehouse.settings import Settings
from enginehouse.tls import tls_context

_START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """A served model to measure.

    Attributes:
        target: the model and the version that answers.
        bundle: bundle of that version.
        engine: engine settings in use on this host.
    """

    target: Target
    version: int
    bundle: Bundle
    engine: EngineSettings


def served_model(settings: Settings, name: str | None = None) -> MeasuredModel:
    """The running stack's text generator `name`, or its first one.

    Raises:
        ModelNotFoundError: if none of that name is served.
        EnginehouseError: if the stack does not answer, or the bundle is not available.
    """
    with ChatClient(settings.addresses.api_url) as client:
        generators = client.generators()
    found = next((g for g in generators if name in {None, g["id"]}), None)
    if found is None:
        known = ", ".join(g["id"] for g in generators)
        raise ModelNotFoundError(f"no text generator {name!r} is served; there are: {known}")
    version = int(found["enginehouse"]["version"])
    bundle = BundleCache(settings.cache_dir, Registry(settings)).fetch(found["id"], version)
    engine = override_settings(bundle.manifest.engine_settings, os.environ)
    return MeasuredModel(Target(found["id"], version), version, bundle, engine)


@contextmanager
def measured_stack(settings: Settings) -> Iterator[None]:
    """Use the running stack, or start one for the duration of the block.

    Raises:
        StackError: if it does not start.
    """
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
    """Whether a text generator is served; another model may be ready earlier."""
    try:
        url = f"{settings.addresses.api_url}/health/ready"
        if not httpx.get(url, timeout=10.0, trust_env=False, verify=tls_context(url)).is_success:
            return False
        with ChatClient(settings.addresses.api_url) as client:
            return bool(client.generators())
    except (httpx.HTTPError, ServingError):
        return False
