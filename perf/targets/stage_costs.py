"""Measures the cost of the endpoint's stages: adapters with one stage, with all, and with none.

All adapters use the same Triton, so that every difference is the adapter's. Each has a home of its
own with the routes, bundles and registry of the stack. Single requests are sent to a
`token_generator`, because the times of a real engine vary by more than the measured differences.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx
import psutil
import yaml
from enginehouse.perf.load.http import burst
from enginehouse.perf.ports import free_ports
from enginehouse.perf.runtimes import token_generator
from enginehouse.perf.targets.carriage import generator_stack
from enginehouse.perf.workload import BurstWorkload
from enginehouse.stack.process import ManagedProcess

from enginehouse.bundle import Bundle
from enginehouse.errors import StackError
from enginehouse.settings import Settings
from enginehouse.tls import tls_context

_STREAMS = 16
_START_TIMEOUT_S = 90.0
_SHARED = ("admin.token", "routes", "cache", "registry")
_ROUND = 50_000
_WARM_UP = 3
_STEP_MS = "1"

_LIMITS = {
    "default": {"requests_per_minute": 10**8, "tokens_per_minute": 10**10, "concurrent": 999}
}
_LEDGER = {"enabled": True, "prices": [{"model": "*", "completion_per_million": 1}]}
_CONTENT = {
    "input": [{"type": "pii"}, {"type": "patterns", "words": ["xyzzy", "plugh"]}],
    "output": [{"type": "pii"}, {"type": "patterns", "words": ["xyzzy", "plugh"]}],
}
_NONE, _KEYS, _ALL = "none", "keys", "all"
#: Sections of the endpoint file of each variant. Prompts differ, so only cache misses are measured.
_VARIANTS: dict[str, dict[str, object]] = {
    _NONE: {},
    _KEYS: {},
    "limits": {"limits": _LIMITS},
    "ledger": {"ledger": _LEDGER},
    "audit": {"audit": {"enabled": True}},
    "content": {"content": _CONTENT},
    "cache": {"cache": {"enabled": True}},
    _ALL: {
        "limits": _LIMITS,
        "ledger": _LEDGER,
        "audit": {"enabled": True},
        "content": _CONTENT,
        "cache": {"enabled": True},
    },
}
_WITH_KEYS = (_KEYS, _ALL)


@dataclass
class AdapterVariant:
    """One adapter and its measurements."""

    name: str
    url: str
    api_key: str | None
    process: psutil.Process
    cpu_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def ask(self, http: httpx.Client, number: int, model: str) -> None:
        """Request one answer of one token on a persistent connection."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"{self.name} {number}: one word, please."}],
            "max_tokens": 1,
            "temperature": 0,
        }
        began = time.perf_counter()
        http.post(f"{self.url}/chat/completions", json=body, headers=headers).raise_for_status()
        self.latencies_s.append(time.perf_counter() - began)

    def cpu_now_s(self) -> float:
        """CPU seconds that the adapter has used since it started."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def load(self, workload: BurstWorkload, model: str) -> None:
        """Run a burst of streams."""
        bodies = [
            {
                "model": model,
                "messages": messages,
                "max_tokens": workload.new_tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            for messages in workload.conversations()
        ]
        seconds, traces = burst(f"{self.url}/chat/completions", bodies, api_key=self.api_key)
        self.rates.append(sum(trace.tokens for trace in traces) / seconds)


def measure_stages(
    settings: Settings, bundle: Bundle, *, requests: int, rounds: int, report: Callable[[str], None]
) -> str:
    """Measure with a token generator and with the running stack; return a Markdown table.

    Args:
        settings: of the running stack.
        bundle: the version that the running stack serves.
        requests: requests of one token to each variant.
        rounds: bursts of streams without stages and with all.
        report: called with a line of progress.

    Raises:
        StackError: if a stack or an adapter does not start.
        ServingError: if a stream is refused or incomplete.
    """
    report(f"starting a token generator, and {len(_VARIANTS)} adapters")
    with (
        generator_stack(bundle, **{token_generator.STEP_VARIABLE: _STEP_MS}) as stack,
        _variants(stack.settings, stack.env, _VARIANTS) as variants,
    ):
        report(f"{requests} requests to each")
        _ask_each(variants, requests)
    report(f"{_STREAMS} streams of the running engine, without a stage and with all")
    with _variants(settings, os.environ, (_NONE, _ALL)) as (none, every):
        _load_both(none, every, rounds)
    for loaded, asked in ((none, variants[0]), (every, variants[-1])):
        asked.rates = loaded.rates
    return _table(variants, requests, rounds)


def _ask_each(variants: list[AdapterVariant], requests: int) -> None:
    order = random.Random(0)  # noqa: S311 - no secret
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        model = _model(http, variants[0])
        for number in range(-_WARM_UP, requests):
            if number == 0:
                for variant in variants:
                    variant.cpu_s = -variant.cpu_now_s()
            # Random order, so that no variant is always measured after the same other one.
            for variant in order.sample(variants, len(variants)):
                variant.ask(http, number, model)
    for variant in variants:
        variant.cpu_s += variant.cpu_now_s()
        del variant.latencies_s[:_WARM_UP]


def _load_both(none: AdapterVariant, every: AdapterVariant, rounds: int) -> None:
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        model = _model(http, none)
    for number in range(rounds):
        for variant in _turned([none, every], number):
            # The variants use different prompts, so that the second does not hit the prefix cache.
            place = _ROUND + 2 * number + (variant is every)
            variant.load(BurstWorkload(_STREAMS, place), model)


def _turned(variants: list[AdapterVariant], number: int) -> list[AdapterVariant]:
    """The variants rotated by `number`, so that a drift of the machine affects all alike."""
    shift = number % len(variants)
    return variants[shift:] + variants[:shift]


def _table(variants: list[AdapterVariant], requests: int, rounds: int) -> str:
    plain = variants[0]
    how = (
        f"{requests} requests of one token each, in turns, of an engine that takes {_STEP_MS} ms; "
        f"medians. Added: median of the differences within a turn; the CPU includes what an "
        f"adapter does when nobody asks. Throughput: {_STREAMS} streams of the real engine, median "
        f"of {rounds} pairs."
    )
    lines = [
        how,
        "",
        "| stages | ms a request | added ms | adapter's CPU ms | tokens/s | of none |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for variant in variants:
        pairs = zip(variant.latencies_s, plain.latencies_s, strict=True)
        added = 1000 * median(own - other for own, other in pairs)
        shares = [a / b for a, b in zip(variant.rates, plain.rates, strict=False)]
        rate = f"{median(variant.rates):.0f} | {median(shares):.3f}" if shares else " | "
        took = 1000 * median(variant.latencies_s)
        cpu = 1000 * variant.cpu_s / requests
        lines.append(f"| {variant.name} | {took:.2f} | {added:+.2f} | {cpu:.2f} | {rate} |")
    return "\n".join(lines)


@contextmanager
def _variants(
    settings: Settings, env: Mapping[str, str], names: Iterable[str]
) -> Iterator[list[AdapterVariant]]:
    with ExitStack() as cleanup:
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        yield [_started(cleanup, settings, env, name, scratch / name) for name in names]


def _started(
    cleanup: ExitStack, settings: Settings, env: Mapping[str, str], name: str, home: Path
) -> AdapterVariant:
    home.mkdir()
    for shared in _SHARED:
        (home / shared).symlink_to(settings.home / shared)
    (home / "endpoint.yaml").write_text(yaml.safe_dump(_VARIANTS[name]))
    port = free_ports(1)[0]
    environ = dict(env) | {
        "ENGINEHOUSE_HOME": str(home),
        "ENGINEHOUSE_API_PORT": str(port),
        "MLFLOW_TRACKING_URI": settings.registry_uri,
    }
    api_key = None
    if name in _WITH_KEYS:
        environ["ENGINEHOUSE_KEYS"] = "true"
        made = [sys.executable, "-m", "enginehouse", "keys", "create", "--tenant", "bench"]
        done = subprocess.run(made, env=environ, capture_output=True, text=True, check=True)
        api_key = done.stdout.strip()
    argv = [sys.executable, "-m", "enginehouse.api"]
    child = ManagedProcess(f"api-{name}", argv, environ, home / "api.log")
    cleanup.callback(child.stop, 5.0)
    url = f"http://127.0.0.1:{port}"
    _wait_ready(url, child)
    return AdapterVariant(name, f"{url}/v1", api_key, psutil.Process(child.pid))


def _wait_ready(url: str, child: ManagedProcess) -> None:
    until = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < until and child.running():
        try:
            answer = httpx.get(
                f"{url}/health/ready", timeout=30.0, trust_env=False, verify=tls_context(url)
            )
            if answer.is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise StackError(
        f"{child.name} is not ready; is a stack running (`make up`)? {child.log_tail()}"
    )


def _model(http: httpx.Client, variant: AdapterVariant) -> str:
    served = http.get(f"{variant.url}/models").raise_for_status().json()["data"]
    return str(next(m["id"] for m in served if m["enginehouse"]["kind"] != "embedding"))
