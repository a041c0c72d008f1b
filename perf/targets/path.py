"""The path around the engine: whole path against raw, the adapter's share, CPU a token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from statistics import median
from typing import Any

from enginehouse.client.wire import Target
from enginehouse.perf.load.doors import Send, open_door
from enginehouse.perf.load.generator import closed_loop
from enginehouse.perf.measurement import figures_of
from enginehouse.perf.profile import Concurrency, Door, Kind, Lengths, Profile
from enginehouse.perf.prompts import Prompt, PromptMaker
from enginehouse.perf.targets.outcome import Outcome

from enginehouse.bundle import Bundle
from enginehouse.settings import Settings

_RATIOS = {"1": 0.90, "16": 0.95, "32": 0.95}
_ADDED_MS = {1: 1.0, 32: 5.0}
_PAIRS = {1: 24, 32: 8}
_SHORT = Profile(
    name="first-token",
    description="Two tokens of an answer: the first, and one more.",
    mix=[Kind(name="chat", input=Lengths(mean=64), output=Lengths(mean=2))],
    load=Concurrency(kind="concurrency", levels=[1]),
)
_CPU_ROLES = ("adapter", "triton")


def from_bench(bench: dict[str, Any]) -> list[Outcome]:
    """Ratios and CPU, from the data of `enginehouse bench`."""
    found = []
    for streams, bound in _RATIOS.items():
        sides = (bench["sides"][side][streams]["tokens_per_s_runs"] for side in ("path", "raw"))
        runs = [round(path / raw, 3) for path, raw in zip(*sides, strict=True)]
        found.append(
            Outcome(
                name=f"whole path / raw pipeline, tokens/s at {streams}",
                value=bench["ratios"]["path_over_raw"][streams],
                bound=bound,
                at_least=True,
                unit="",
                values=runs,
                note="median of paired runs",
            )
        )
    shares = [_cpu_a_token(bench["sides"]["path"][streams]) for streams in ("32", "1")]
    found.append(
        Outcome(
            name="CPU of adapter and Triton a token, at 32 / at 1",
            value=round(shares[0] / shares[1], 3),
            bound=0.5,
            at_least=False,
            unit="",
            note=f"{1e6 * shares[1]:.0f} µs at 1, {1e6 * shares[0]:.0f} µs at 32",
        )
    )
    return found


def _cpu_a_token(side: dict[str, Any]) -> float:
    """Seconds; medians of a burst's CPU over its tokens."""
    seconds = sum(side["cpu_seconds"][role] for role in _CPU_ROLES)
    return float(seconds) / float(side["tokens"])


def adapter_share(settings: Settings, target: Target, bundle: Bundle) -> list[Outcome]:
    """What the adapter adds to TTFT: bursts through it and straight to the engine, in turn.

    Raises:
        ServingError: if a request fails.
    """
    return asyncio.run(_adapter_share(settings, target, PromptMaker(bundle)))


async def _adapter_share(settings: Settings, target: Target, maker: PromptMaker) -> list[Outcome]:
    doors: tuple[Door, Door] = ("adapter", "tensorrt_llm")
    found = []
    async with (
        open_door(doors[0], settings.addresses, target) as adapter,
        open_door(doors[1], settings.addresses, target) as engine,
    ):
        for streams, bound in _ADDED_MS.items():
            added, direct = [], []
            for number in range(-1, _PAIRS[streams]):
                # Each has prompts of its own: the second would find the first's in the cache.
                mine = maker.prompts(_SHORT, streams, place=f"{streams} {number} adapter")
                theirs = maker.prompts(_SHORT, streams, place=f"{streams} {number} engine")
                first, second = await _in_turn(number, (adapter, mine), (engine, theirs), streams)
                if number >= 0:
                    added.append(round(first - second, 3))
                    direct.append(second)
            found.append(
                Outcome(
                    name=f"adapter's share of TTFT p50 at {streams}",
                    value=round(median(added), 2),
                    bound=bound,
                    at_least=False,
                    unit="ms",
                    values=[min(added), max(added)],
                    note=f"median of {_PAIRS[streams]} pairs; the engine alone takes "
                    f"{median(direct):.1f} ms",
                )
            )
    return found


async def _in_turn(
    number: int,
    adapter: tuple[Send, Sequence[Prompt]],
    engine: tuple[Send, Sequence[Prompt]],
    streams: int,
) -> tuple[float, float]:
    """TTFT p50 of both in ms; who goes first alternates."""
    if number % 2:
        second = await _ttft_ms(*engine, streams)
        return await _ttft_ms(*adapter, streams), second
    return await _ttft_ms(*adapter, streams), await _ttft_ms(*engine, streams)


async def _ttft_ms(send: Send, prompts: Sequence[Prompt], streams: int) -> float:
    return figures_of(await closed_loop(send, prompts, streams)).ttft.p50
