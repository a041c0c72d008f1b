"""Measures the path's throughput without an engine limit, and the cost of idle streams."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from enginehouse.perf.load.http import HttpSender, burst
from enginehouse.perf.private_stack import MODEL, PrivateStack, private_home, running, with_runtime
from enginehouse.perf.processes import StackProcesses
from enginehouse.perf.runtimes import token_generator
from enginehouse.perf.targets.outcome import TargetFigure

from enginehouse.bundle import Bundle

_STREAMS = 64
_TOKENS = 2000
_ROUNDS = 5
_STEP_MS = "2"
_IDLE_STREAMS = 1000
_HELD_TOKENS = 1000
_WINDOW_S = 10.0
_MIB = 2**20


@contextmanager
def generator_stack(bundle: Bundle, **environ: str) -> Iterator[PrivateStack]:
    """A private stack with the runtime `token_generator`.

    Raises:
        StackError: if it does not start.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = with_runtime(bundle, token_generator.NAME, Path(scratch) / "generator")
        with private_home(made) as env, running(env | environ) as stack:
            yield stack


def carried(bundle: Bundle) -> TargetFigure:
    """Tokens a second that one adapter worker forwards from a generator that produces more.

    Raises:
        StackError, ServingError: if the stack does not start or a stream is incomplete.
    """
    with generator_stack(bundle, **{token_generator.STEP_VARIABLE: _STEP_MS}) as stack:
        url = f"{stack.settings.addresses.api_url}/v1/chat/completions"
        processes = StackProcesses.find(stack.settings.addresses)
        rates = []
        used = dict.fromkeys(processes.roles, 0.0)
        tokens = 0
        for number in range(-1, _ROUNDS):
            before = processes.cpu_seconds()
            seconds, traces = burst(url, [_body(n, _TOKENS) for n in range(_STREAMS)])
            if number >= 0:
                after = processes.cpu_seconds()
                used = {role: used[role] + after[role] - before[role] for role in used}
                tokens += sum(trace.tokens for trace in traces)
                rates.append(round(sum(trace.tokens for trace in traces) / seconds))
    costs = ", ".join(f"{role} {1e6 * used[role] / tokens:.1f}" for role in used if used[role])
    return TargetFigure(
        name=f"carried at {_STREAMS} streams, generator for an engine",
        value=median(rates),
        bound=20_000,
        at_least=True,
        unit="tokens/s",
        values=[float(rate) for rate in rates],
        note=f"one adapter worker; CPU µs a token: {costs}",
    )


def idle(bundle: Bundle) -> list[TargetFigure]:
    """Memory and CPU cost of streams that wait for a token.

    Raises:
        StackError: if the stack does not start.
    """
    patience = {
        "ENGINEHOUSE_ENGINE_MAX_QUEUE": str(2 * _IDLE_STREAMS),
        "ENGINEHOUSE_FIRST_TOKEN_TIMEOUT_S": "600",
        "ENGINEHOUSE_BETWEEN_TOKENS_TIMEOUT_S": "600",
        token_generator.HELD_VARIABLE: str(_HELD_TOKENS),
    }
    with generator_stack(bundle, **patience) as stack:
        return asyncio.run(_idle(stack))


async def _idle(stack: PrivateStack) -> list[TargetFigure]:
    processes = StackProcesses.find(stack.settings.addresses)
    sender = HttpSender(f"{stack.settings.addresses.api_url}/v1/chat/completions")
    before_bytes = sum(processes.rss_bytes().values())
    quiet = await _cpu_share(processes)
    waiting = [
        asyncio.create_task(sender.send(sender.encode(_body(n, _HELD_TOKENS))))
        for n in range(_IDLE_STREAMS)
    ]
    # Wait until all streams have been accepted and the adapter is idle.
    while await _cpu_share(processes, 1.0) > quiet + 0.05:
        pass
    cost = await _cpu_share(processes) - quiet
    grown = sum(processes.rss_bytes().values()) - before_bytes
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return [
        TargetFigure(
            name=f"memory of {_IDLE_STREAMS} idle streams",
            value=round(grown / _MIB, 1),
            bound=200,
            at_least=False,
            unit="MiB",
            note="growth of adapter, Triton and engine together",
        ),
        TargetFigure(
            name=f"CPU of {_IDLE_STREAMS} idle streams",
            value=round(100 * cost, 2),
            bound=1.0,
            at_least=False,
            unit="% of a core",
            note=f"over {_WINDOW_S:.0f} s, beyond the {100 * quiet:.1f} % without streams; 1 % "
            "is the clock's own grain",
        ),
    ]


async def _cpu_share(processes: StackProcesses, window_s: float = _WINDOW_S) -> float:
    """Mean number of cores that the stack uses over a period."""
    before, began = sum(processes.cpu_seconds().values()), time.perf_counter()
    await asyncio.sleep(window_s)
    used = sum(processes.cpu_seconds().values()) - before
    return used / (time.perf_counter() - began)


def _body(number: int, tokens: int) -> dict[str, object]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"{os.getpid()} {number}"}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
