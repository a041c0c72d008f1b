"""Sends bursts of the same prompts alternately to two versions until the ratio is precise."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from statistics import median

from enginehouse.client import Target
from enginehouse.perf.load.entry_points import Send, open_entry_point
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

#: Metrics that are measured until they are precise: throughput at the profile's streams, and TTFT
#: at one stream.
DECISIVE = ("tokens_per_s", "ttft")
#: TTFT in a burst depends on which requests share the first steps; a fifth of its changes would
#: need hundreds of pairs. It counts if it is certainly worse, but does not extend the measurement.
WATCHED = "ttft_loaded"
#: Requests at one stream for each side of a pair.
_ALONE = 8

Report = Callable[[str], None]
Side = tuple[Bundle, EngineSettings]


@dataclass(frozen=True, slots=True)
class Effort:
    """The effort of a comparison.

    Attributes:
        margin: smallest change to detect, as a ratio minus 1.
        most_pairs: largest number of pairs of bursts; fewer are used if they suffice.
    """

    margin: float = 0.1
    most_pairs: int = 60


class Judged(BaseModel):
    """The result for one metric: the ratio of times, second to first. Above 1 the second is slower.

    Attributes:
        low, high: ends of the 95 % confidence interval.
        log_ratios: logarithm of the ratio of each pair.
        decisive: whether it was measured until it was precise. Otherwise only a certain change
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
    """The result of a comparison.

    Attributes:
        first, second: display names of the sides.
        margin: smallest change to detect, as a ratio minus 1.
        figures: figures of all bursts by side, in the order of measurement.
        alone_ms: medians of the TTFT at one stream, by side and in the same order.
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
        """The worst change of any metric."""
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
    """Load both versions into a private Triton and measure them alternately.

    Args:
        model: model name.
        sides: bundle and settings of the two sides by display name; the first is the baseline.
        profile: its first level is the load.
        effort: precision of the comparison.
        report: called with a line of progress.
        environ: environment of that Triton.

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
        addresses: of that Triton.
        model: model name.
        versions: versions by display name; the first is the baseline.
        profile: its first level is the load.
        maker: makes the prompts.
        effort: precision of the comparison.
        place: seed of the prompts; another value gives other prompts.

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
    """Sends bursts and single requests alternately to both sides, over persistent channels."""

    def __init__(
        self, profile: Profile, maker: PromptMaker, versions: Sequence[int], place: str
    ) -> None:
        self._profile = profile
        self._maker = maker
        self._place = place
        self._first, self._second = versions
        self._sends: dict[int, Send] = {}
        self._channels = AsyncExitStack()
        self.figures: dict[int, list[Figures]] = {version: [] for version in versions}
        self.alone_ms: dict[int, list[float]] = {version: [] for version in versions}

    async def open(self, addresses: Addresses, model: str) -> None:
        """Connect, and warm both versions up, since the first requests after a load are slow."""
        for version in self.figures:
            entry_point = open_entry_point("tensorrt_llm", addresses, Target(model, version))
            self._sends[version] = await self._channels.enter_async_context(entry_point)
        for version in self.figures:
            await self._burst(version, "warm-up")

    async def close(self) -> None:
        """Disconnect."""
        await self._channels.aclose()

    async def pair(self, number: int) -> dict[str, float]:
        """Measure both sides with the same prompts, in alternating order."""
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
        """Send one request at a time, alternately to both sides: TTFT without other load."""
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
