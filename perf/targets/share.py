"""Measures the time that the adapter adds to TTFT.

With a real engine TTFT varies by half a second, depending on which requests share the first steps.
This measurement therefore uses `token_generator`. Short requests are sent through the adapter and
directly to the engine, in random order and at random times, alone and beside running streams.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from statistics import median

from enginehouse.client import Target
from enginehouse.perf.load.entry_points import Send, open_entry_point
from enginehouse.perf.load.generator import flawless
from enginehouse.perf.private_stack import MODEL, PrivateStack
from enginehouse.perf.profile import Concurrency, EntryPoint, Lengths, Profile, RequestKind
from enginehouse.perf.prompts import PromptMaker
from enginehouse.perf.runtimes import token_generator
from enginehouse.perf.targets.carriage import generator_stack
from enginehouse.perf.targets.outcome import TargetFigure

from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError

#: By number of streams: the largest added time and the duration of a step, both in milliseconds.
_LOADS = {1: (1.0, 1), 32: (5.0, 20)}
_BLOCKS = 10
_PROBES = 40
_PAUSE_S = 0.02
#: Enough tokens for the background streams to outlast the probes.
_BACKGROUND_TOKENS = 6000
_SHORT = Profile(
    name="first-token",
    description="One token, to measure what comes before it.",
    mix=[RequestKind(name="chat", input=Lengths(mean=64), output=Lengths(mean=1))],
    load=Concurrency(kind="concurrency", levels=[1]),
)
_ENTRY_POINTS: tuple[EntryPoint, EntryPoint] = ("adapter", "tensorrt_llm")


def adapter_share(bundle: Bundle) -> list[TargetFigure]:
    """TTFT p50 through the adapter minus TTFT p50 at the engine, alone and with 32 streams.

    Raises:
        StackError, ServingError: if a stack does not start or a request fails.
    """
    return [_at(bundle, streams) for streams in _LOADS]


def _at(bundle: Bundle, streams: int) -> TargetFigure:
    bound_ms, step_ms = _LOADS[streams]
    step = {token_generator.STEP_VARIABLE: str(step_ms)}
    with generator_stack(bundle, **step) as stack:
        blocks = asyncio.run(_measure(stack, PromptMaker(bundle), streams))
    through, direct = (
        median(ttft for block in blocks for ttft in block[entry_point])
        for entry_point in _ENTRY_POINTS
    )
    differences = [median(block["adapter"]) - median(block["tensorrt_llm"]) for block in blocks]
    return TargetFigure(
        name=f"adapter's share of TTFT p50 at {streams}",
        value=round(through - direct, 2),
        bound=bound_ms,
        at_least=False,
        unit="ms",
        values=[round(value, 2) for value in differences],
        note=f"generator for an engine, {step_ms} ms a step; {_BLOCKS * _PROBES} requests each "
        f"way, {direct:.1f} ms without the adapter",
    )


async def _measure(
    stack: PrivateStack, maker: PromptMaker, streams: int
) -> list[dict[EntryPoint, list[float]]]:
    """TTFT in milliseconds by block and entry point."""
    async with AsyncExitStack() as channels:
        sends: dict[EntryPoint, Send] = {}
        for entry_point in _ENTRY_POINTS:
            opened = open_entry_point(entry_point, stack.settings.addresses, Target(MODEL, 1))
            sends[entry_point] = await channels.enter_async_context(opened)
        background = [
            asyncio.create_task(sends["adapter"](replace(prompt, max_tokens=_BACKGROUND_TOKENS)))
            for prompt in maker.prompts(_SHORT, streams - 1, place="background")
        ]
        await _block(sends, maker, "warm-up")
        blocks = [await _block(sends, maker, str(number)) for number in range(_BLOCKS)]
        if any(task.done() for task in background):
            raise ServingError("a stream of the background ended before the probes did")
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    return blocks


async def _block(
    sends: dict[EntryPoint, Send], maker: PromptMaker, place: str
) -> dict[EntryPoint, list[float]]:
    """Send equally many probes to each entry point, in random order and with random pauses."""
    chance = random.Random(place)  # noqa: S311 - no secret
    order: list[EntryPoint] = [*_ENTRY_POINTS] * _PROBES
    chance.shuffle(order)
    found: dict[EntryPoint, list[float]] = {entry_point: [] for entry_point in _ENTRY_POINTS}
    prompts = maker.prompts(_SHORT, len(order), place=place)
    for entry_point, prompt in zip(order, prompts, strict=True):
        await asyncio.sleep(chance.expovariate(1 / _PAUSE_S))
        figures = await flawless(sends[entry_point], [prompt], 1)
        found[entry_point].append(figures.ttft.p50)
    return found
