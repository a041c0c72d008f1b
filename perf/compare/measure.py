"""Bursts of the same prompts to both versions, one after the other, until the ratio is certain."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import median

from enginehouse.client import Target
from enginehouse.perf.load.doors import Send, open_door
from enginehouse.perf.load.generator import flawless
from enginehouse.perf.measurement import Figures
from enginehouse.perf.private_triton import private_triton
from enginehouse.perf.profile import Concurrency, Profile
from enginehouse.perf.prompts import PromptMaker
from pydantic import BaseModel

from enginehouse.bundle import Bundle
from enginehouse.errors import SettingsError
from enginehouse.host import HostFingerprint, host_fingerprint
from enginehouse.manifest import EngineSettings
from enginehouse.paired import Change, PairedRule, estimate, measure_in_turn
from enginehouse.settings import Addresses

#: What is measured until it is precise: throughput at the profile's streams, TTFT at one.
DECISIVE = ("tokens_per_s", "ttft")
#: TTFT in a burst jumps with who shares the first steps: a fifth of its changes would take hundreds
#: of pairs to see. It counts if it is certainly worse, and nobody waits for it.
WATCHED = "ttft_loaded"
#: Requests at one stream, a side and pair.
_ALONE = 8

Report = Callable[[str], None]
Side = tuple[Bundle, EngineSettings]


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look.

    Attributes:
        margin: the change to find, as a ratio less 1.
        most_pairs: of bursts; fewer if they suffice.
    """

    margin: float = 0.1
    most_pairs: int = 60


class Judged(BaseModel):
    """One metric: times of the second over the first, so above 1 the second is slower.

    Attributes:
        low, high: ends of the 95 % interval.
        log_ratios: one a pair.
        decisive: whether it was measured until it was precise; if not, only a certain change of it
            counts.
    """

    change: Change
    decisive: bool
    ratio: float
    low: float
    high: float
    error: float
    pairs: int
    log_ratios: list[float]


class PerformanceComparison(BaseModel):
    """What a comparison found.

    Attributes:
        first, second: what each side is, for people.
        margin: the change that is looked for, as a ratio less 1.
        figures: of all bursts, by side and in the order measured.
        alone_ms: medians of the TTFT at one stream, likewise.
    """

    measured_at: datetime
    host: HostFingerprint
    model: str
    first: str
    second: str
    profile: Profile
    margin: float
    metrics: dict[str, Judged]
    figures: dict[str, list[Figures]]
    alone_ms: dict[str, list[float]]

    @property
    def change(self) -> Change:
        """The worst that any metric says."""
        found = {
            judged.change
            for judged in self.metrics.values()
            if judged.decisive or judged.change is not Change.UNCERTAIN
        }
        order = (Change.SLOWER, Change.UNCERTAIN, Change.FASTER)
        return next((change for change in order if change in found), Change.SAME)


def compare(
    model: str,
    sides: Mapping[str, Side],
    profile: Profile,
    effort: Effort,
    *,
    report: Report,
    environ: Mapping[str, str] | None = None,
) -> PerformanceComparison:
    """Load both into a Triton of the comparison's own, and measure them in turn.

    Args:
        sides: names for people → bundle and settings; two of them, the first is the yardstick.
        profile: its first level is the load.
        environ: of that Triton.

    Raises:
        SettingsError: if the profile is not a closed loop.
        StackError, ServingError: if a side cannot be served, or a request fails.
    """
    if not isinstance(profile.load, Concurrency):
        raise SettingsError(
            f"profile {profile.name}: versions are compared at a concurrency, not at a "
            f"{profile.load.kind.replace('_', ' ')}"
        )
    names = list(sides)
    report(f"loading {names[0]} and {names[1]} of {model} side by side")
    versions = dict(zip((1, 2), sides.values(), strict=True))
    with private_triton(model, versions, environ) as addresses:
        report(f"measuring in turn: {profile.name}, {profile.levels[0]:g} streams")
        maker = PromptMaker(sides[names[0]][0])
        pair = {names[0]: 1, names[1]: 2}
        return compare_loaded(addresses, model, pair, profile, maker, effort)


def compare_loaded(
    addresses: Addresses,
    model: str,
    versions: Mapping[str, int],
    profile: Profile,
    maker: PromptMaker,
    effort: Effort,
    *,
    place: str = "",
) -> PerformanceComparison:
    """Compare two versions that a Triton has loaded.

    Args:
        versions: names for people → versions; the first is the yardstick.
        place: another one has other prompts.

    Raises:
        ServingError: if a request fails.
    """
    rule = PairedRule.finding(effort.margin)
    bursts = _Bursts(profile, maker, tuple(versions.values()), place)
    with asyncio.Runner() as runner:
        runner.run(bursts.open(addresses, model))
        try:
            found = measure_in_turn(
                lambda number: runner.run(bursts.pair(number)),
                dict.fromkeys(DECISIVE, rule),
                effort.most_pairs,
            )
        finally:
            runner.run(bursts.close())
    metrics = {}
    for metric, ratios in found.items():
        estimated = estimate(ratios)
        metrics[metric] = Judged(
            change=rule.judge(estimated),
            decisive=metric in DECISIVE,
            log_ratios=ratios,
            **asdict(estimated),
        )
    first, second = versions
    return PerformanceComparison(
        measured_at=datetime.now(UTC),
        host=host_fingerprint(with_gpus=True),
        model=model,
        first=first,
        second=second,
        profile=profile,
        margin=effort.margin,
        metrics=metrics,
        figures={name: bursts.figures[version] for name, version in versions.items()},
        alone_ms={name: bursts.alone_ms[version] for name, version in versions.items()},
    )


class _Bursts:
    """Bursts and single requests to both sides in turn, over channels that stay open."""

    def __init__(
        self, profile: Profile, maker: PromptMaker, versions: Sequence[int], place: str
    ) -> None:
        self._profile = profile
        self._maker = maker
        self._place = place
        self._first, self._second = versions
        self._sends: dict[int, Send] = {}
        self._doors = AsyncExitStack()
        self.figures: dict[int, list[Figures]] = {version: [] for version in versions}
        self.alone_ms: dict[int, list[float]] = {version: [] for version in versions}

    async def open(self, addresses: Addresses, model: str) -> None:
        """Connect, and warm both up: the first requests after a load are slow."""
        for version in self.figures:
            door = open_door("tensorrt_llm", addresses, Target(model, version))
            self._sends[version] = await self._doors.enter_async_context(door)
        for version in self.figures:
            await self._burst(version, "warm-up")

    async def close(self) -> None:
        """Disconnect."""
        await self._doors.aclose()

    async def pair(self, number: int) -> dict[str, float]:
        """Both sides with the same prompts; who goes first alternates."""
        order = (self._first, self._second)
        turn = order if number % 2 == 0 else order[::-1]
        for version in turn:
            self.figures[version].append(await self._burst(version, str(number)))
        await self._singly(turn, str(number))
        first, second = (self.figures[version][-1] for version in order)
        alone, other = (self.alone_ms[version][-1] for version in order)
        return {
            "tokens_per_s": math.log(first.tokens_per_s / second.tokens_per_s),
            "ttft": math.log(other / alone),
            WATCHED: math.log(second.ttft.p50 / first.ttft.p50),
        }

    async def _singly(self, turn: Sequence[int], place: str) -> None:
        """One request at a time, with the sides taking turns: TTFT with nobody else there."""
        prompts = self._maker.prompts(self._profile, _ALONE, place=f"{self._place} {place} alone")
        took: dict[int, list[float]] = {version: [] for version in turn}
        for prompt in prompts:
            for version in turn:
                figures = await flawless(self._sends[version], [replace(prompt, max_tokens=1)], 1)
                took[version].append(figures.ttft.p50)
        for version in turn:
            self.alone_ms[version].append(median(took[version]))

    async def _burst(self, version: int, place: str) -> Figures:
        level = int(self._profile.levels[0])
        prompts = self._maker.prompts(self._profile, level, place=f"{self._place} {place}")
        return await flawless(self._sends[version], prompts, level)
