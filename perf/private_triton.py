"""A private Triton for a measurement, with several versions of one model and no other traffic."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from enginehouse.client import TritonClient
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.perf.ports import free_ports
from enginehouse.stack.process import ManagedProcess
from enginehouse.stack.triton_server import start_triton

from enginehouse.admin_token import ensure_admin_token
from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError, StackError
from enginehouse.manifest import EngineSettings
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.settings import Addresses, Settings, load_settings
from enginehouse.triton_control import triton_control_secret

_START_TIMEOUT_S = 60.0
_LOOK_EVERY_S = 0.05


@contextmanager
def private_triton(
    model: str,
    versions: Mapping[int, tuple[Bundle, EngineSettings]],
    environ: Mapping[str, str] | None = None,
) -> Iterator[Addresses]:
    """Serve versions of `<model>.tensorrt_llm` until the block ends.

    Args:
        model: model name.
        versions: bundle and settings of each version.
        environ: environment of Triton; by default that of this process.

    Raises:
        StackError: if Triton does not start.
        ServingError: with Triton's message, if a version does not load.
    """
    with tempfile.TemporaryDirectory(prefix="enginehouse-perf-") as scratch:
        settings = _settings(Path(scratch))
        repository = ModelRepository(settings.model_repository_dir)
        for version, (bundle, engine) in versions.items():
            repository.add_version(model, version, bundle, engine)
        repository.set_versions(model, sorted(versions))
        server = start_triton(settings, settings.addresses, "triton", environ or os.environ)
        try:
            _load(settings, server, part(model, TENSORRT_LLM))
            yield settings.addresses
        finally:
            server.stop(10.0)


def _settings(home: Path) -> Settings:
    plain = load_settings({}, cwd=home)
    ports = iter(free_ports(3))
    addresses = replace(
        plain.addresses,
        triton_http_port=next(ports),
        triton_grpc_port=next(ports),
        triton_metrics_port=next(ports),
    )
    return replace(plain, home=home, addresses=addresses)


def _load(settings: Settings, server: ManagedProcess, name: str) -> None:
    secret = triton_control_secret(ensure_admin_token(settings))
    with TritonClient(settings.addresses.triton_grpc_url, control_secret=secret) as client:
        until = time.monotonic() + _START_TIMEOUT_S
        while not client.live():
            if not server.running() or time.monotonic() > until:
                raise StackError(f"Triton did not start: {server.log_tail()}")
            time.sleep(_LOOK_EVERY_S)
        try:
            client.load(name)
        except ServingError as error:
            raise ServingError(f"{name} does not load: {error}\n{server.log_tail()}") from error
