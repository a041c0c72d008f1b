"""A whole stack whose engine takes a set time for each step, independent of the load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

import httpx
import pytest
from enginehouse.perf.load.http import burst
from enginehouse.perf.private_stack import (
    MODEL,
    PrivateStack,
    private_home,
    running,
    with_runtime,
)
from enginehouse.perf.processes import StackProcesses
from enginehouse.perf.runtimes import token_generator

from enginehouse.bundle import Bundle

_STREAMS = 48
_STEP_S = 0.1
_FLOOD = 120
_ASKED = 30


@pytest.fixture(scope="module")
def stack(
    whole_machine: None, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateStack]:
    made = with_runtime(bundle, token_generator.NAME, tmp_path_factory.mktemp("g") / "bundle")
    with private_home(made) as env:
        limits = f"limits: {{fair_share: {{slots: {_STREAMS}}}}}\n"
        (Path(env["ENGINEHOUSE_HOME"]) / "endpoint.yaml").write_text(limits)
        step = {token_generator.STEP_VARIABLE: str(1000 * _STEP_S)}
        with running(env | step) as started:
            yield started


def _body(content: str, tokens: int) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.slow(reason="a stack of its own; test_lifecycle.py has one like it")
def test_the_path_carries_every_token_of_a_generator(stack: PrivateStack) -> None:
    assert stack.started_s > 0
    processes = StackProcesses.find(stack.settings.addresses)
    assert processes.roles.keys() == {"adapter", "triton", "engine", "text"}
    bodies = [_body(str(number), 60) for number in range(_STREAMS)]
    _, traces = burst(f"{stack.settings.addresses.api_url}/v1/chat/completions", bodies)
    assert [trace.tokens for trace in traces] == [60] * _STREAMS
    # Eight tokens a response at most.
    assert all(len(trace.arrivals_s) >= 60 / 8 for trace in traces)


@pytest.mark.slow(reason="120 callers at once, for as long as another asks 60 times")
def test_a_flood_of_one_tenant_hardly_moves_the_first_token_of_another(
    stack: PrivateStack, bundle: Bundle
) -> None:
    # More than the engine takes at once: without fair sharing the other tenant would have to wait.
    assert bundle.manifest.engine_settings.max_batch < _FLOOD

    async def scenario() -> tuple[list[_First], list[_First]]:
        url = stack.settings.addresses.api_url
        limits = httpx.Limits(max_connections=_FLOOD + 1)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120.0) as http:
            alone = await _first_tokens(http, "alone", [])
            async with _flood(http) as answered:
                return alone, await _first_tokens(http, "crowded", answered)

    alone, crowded = asyncio.run(scenario())
    print(f"TTFT p95 alone {_p95(alone):.3f} s, in a flood {_p95(crowded):.3f} s")
    overtaken = [first.overtaken_by for first in crowded]
    print(f"answers to the flood while one waits: {overtaken}")
    assert sum(overtaken) > 0
    # In the order of arrival, all of the flood that waits would go first. Counted and not timed:
    # a busy host makes everybody wait.
    assert mean(overtaken) < (_FLOOD - bundle.manifest.engine_settings.max_batch) / 2


@dataclass(frozen=True)
class _First:
    """A first token: its TTFT in seconds, and how many calls of others were answered meanwhile."""

    ttft_s: float
    overtaken_by: int


def _p95(firsts: Sequence[_First]) -> float:
    return quantiles([first.ttft_s for first in firsts], n=20)[-1]


async def _first_tokens(
    http: httpx.AsyncClient, place: str, answered: Sequence[int]
) -> list[_First]:
    """What a tenant meets that asks one thing after the other; `answered` grows meanwhile."""
    found = []
    for number in range(_ASKED):
        began, others = time.perf_counter(), len(answered)
        body = _body(f"{place} {number}", 1)
        headers = {"x-enginehouse-tenant": "steady"}
        async with http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as sent:
            assert sent.status_code == 200
            lines = [line async for line in _stamped(sent) if '"delta":{"content":' in line[1]]
        found.append(_First(lines[0][0] - began, len(answered) - others))
    return found


async def _stamped(sent: httpx.Response) -> AsyncIterator[tuple[float, str]]:
    """Lines, each with the moment at which it came."""
    async for line in sent.aiter_lines():
        yield time.perf_counter(), line


@asynccontextmanager
async def _flood(http: httpx.AsyncClient) -> AsyncIterator[list[int]]:
    """Another tenant keeps all its callers asking; entered when the first answers are there."""
    answered: list[int] = []
    begun = asyncio.Event()

    async def caller(number: int) -> None:
        body = _body(f"flood {number}", 20) | {"stream": False, "stream_options": None}
        headers = {"x-enginehouse-tenant": "flood"}
        while True:
            answer = await http.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            answered.append(number)
            begun.set()

    async with asyncio.TaskGroup() as group:
        callers = [group.create_task(caller(number)) for number in range(_FLOOD)]
        await begun.wait()
        yield answered
        for task in callers:
            task.cancel()
