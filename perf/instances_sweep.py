"""One engine against several on the same CPUs: the figures of docs/engine-settings.md.

Run as ``python -m enginehouse.perf.instances_sweep BUNDLE [ROUNDS]``. A stack of each kind runs,
and they are asked in turns, so that a machine whose speed drifts favours nobody.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
from enginehouse.perf.bench import PathSide
from enginehouse.perf.workload import Workload
from enginehouse.registry import Registry

from enginehouse.bundle import Bundle
from enginehouse.settings import Settings, load_settings
from enginehouse.stack.process import ManagedProcess

_MODEL = "bench"
_INSTANCES = (1, 2)
_STREAMS = (1, 2, 4, 8, 16, 32)
_PORTS = ("API", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS")
_START_TIMEOUT_S = 180.0


def main() -> None:
    """Measure and print a Markdown table."""
    bundle = Bundle.open(Path(sys.argv[1]))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3  # noqa: PLR2004 - optional argument
    rates: dict[int, dict[int, list[float]]] = {i: {n: [] for n in _STREAMS} for i in _INSTANCES}
    with ExitStack() as cleanup:
        home = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        sides = {i: _start(cleanup, home / str(i), bundle, i) for i in _INSTANCES}
        for side in sides.values():
            side.run(Workload(16, 9_000, new_tokens=16))
        for number in range(rounds):
            for streams in _STREAMS:
                for instances, side in sides.items():
                    seconds, traces, _ = side.run(Workload(streams, 100 * number + streams))
                    rates[instances][streams].append(sum(t.tokens for t in traces) / seconds)
    print("| instances | " + " | ".join(f"{n}: tokens/s" for n in _STREAMS) + " |")  # noqa: T201
    print("|---|" + "---:|" * len(_STREAMS))  # noqa: T201 - a command
    for instances, by_streams in rates.items():
        cells = [f"{median(values):.0f}" for values in by_streams.values()]
        print(f"| {instances} | {' | '.join(cells)} |")  # noqa: T201 - same


def _start(cleanup: ExitStack, home: Path, bundle: Bundle, instances: int) -> PathSide:
    """The whole path of a stack of its own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ENGINEHOUSE_")}
    environ |= {"ENGINEHOUSE_HOME": str(home), "ENGINEHOUSE_ENGINE_INSTANCES": str(instances)}
    environ |= {f"ENGINEHOUSE_{name}_PORT": str(_free_port()) for name in _PORTS}
    settings = load_settings(environ, cwd=Path.cwd())
    registry = Registry(settings)
    registry.promote(_MODEL, registry.register(bundle, _MODEL).version)
    argv = [sys.executable, "-m", "enginehouse", "up"]
    stack = ManagedProcess("up", argv, environ, home / "up.log")
    cleanup.callback(stack.stop, 15.0)
    _wait_ready(settings, stack)
    return PathSide(settings, _MODEL)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_ready(settings: Settings, stack: ManagedProcess) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < until and stack.running():
        try:
            if httpx.get(f"{settings.addresses.api_url}/health/ready", timeout=30).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"the stack did not start:\n{stack.log_tail()}")


if __name__ == "__main__":
    main()
