"""A private stack for a measurement: registry, Triton, controller and one adapter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from enginehouse.perf.ports import free_ports
from enginehouse.stack.process import ManagedProcess

from enginehouse.bundle import Bundle
from enginehouse.errors import StackError
from enginehouse.manifest import MANIFEST_NAME
from enginehouse.settings import Settings, load_settings
from enginehouse.tls import tls_context

MODEL = "measured"
_PORTS = ("API", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "CONTROLLER")
_START_TIMEOUT_S = 180.0
_LOOK_EVERY_S = 0.02
_LEFT_OUT = ("ENGINEHOUSE_ENDPOINT", "ENGINEHOUSE_KEYS", "ENGINEHOUSE_REPLICAS", "MLFLOW_")
_CLI = (sys.executable, "-m", "enginehouse")


@dataclass(frozen=True, slots=True)
class PrivateStack:
    """A running stack that is ready.

    Attributes:
        env: environment for its commands.
        started_s: seconds from the start of `enginehouse up` until the adapter was ready.
    """

    env: Mapping[str, str]
    settings: Settings
    process: ManagedProcess
    started_s: float


def with_runtime(bundle: Bundle, runtime: str, target: Path) -> Bundle:
    """A copy of a bundle with another runtime in its manifest; see `enginehouse.perf.runtimes`."""
    shutil.copytree(bundle.path, target)
    manifest = target / MANIFEST_NAME
    changed = json.loads(manifest.read_text(encoding="utf-8")) | {"runtime": runtime}
    manifest.write_text(json.dumps(changed), encoding="utf-8")
    return Bundle.open(target)


@contextmanager
def private_home(bundle: Bundle) -> Iterator[dict[str, str]]:
    """An environment with a private home, whose registry has the bundle as champion of `MODEL`.

    Raises:
        StackError: with the output of a command that failed.
    """
    with tempfile.TemporaryDirectory(prefix="enginehouse-perf-") as home:
        ports = free_ports(len(_PORTS))
        # Leave out the settings of the user's own stack; keep those of the measured engine.
        env = {k: v for k, v in os.environ.items() if not k.startswith(_LEFT_OUT)}
        env |= {f"ENGINEHOUSE_{name}_PORT": str(p) for name, p in zip(_PORTS, ports, strict=True)}
        env |= {"ENGINEHOUSE_HOME": home}
        for command in (
            ("register", str(bundle.path), "--name", MODEL),
            ("promote", MODEL, "1"),
        ):
            done = subprocess.run(
                [*_CLI, *command], env=env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise StackError(f"enginehouse {command[0]}: {done.stderr.strip()}")
        yield env


@contextmanager
def running(env: Mapping[str, str]) -> Iterator[PrivateStack]:
    """Run `enginehouse up` in an environment until the block ends.

    Raises:
        StackError: if it does not start.
    """
    settings = load_settings(env, cwd=Path.cwd())
    began = time.perf_counter()
    process = ManagedProcess("up", [*_CLI, "up"], env, settings.logs_dir / "up.log")
    try:
        url = f"{settings.addresses.api_url}/health/ready"
        while not _answers(url):
            if not process.running() or time.perf_counter() - began > _START_TIMEOUT_S:
                raise StackError(f"the stack did not start: {process.log_tail(20)}")
            time.sleep(_LOOK_EVERY_S)
        yield PrivateStack(env, settings, process, time.perf_counter() - began)
    finally:
        process.stop(15.0)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10.0, trust_env=False, verify=tls_context(url)).is_success
    except httpx.HTTPError:
        return False
