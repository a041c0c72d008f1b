from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.journal.line_buffer import LineBuffer
from enginehouse.gateway.shadow.shadow import OriginalAnswer, Shadow, pairs_kept
from enginehouse.gateway.shadow.shadow_metrics import ShadowMetrics
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError, SettingsError
from enginehouse.traffic import Arm, Outcome, RequestSample, Routes, ShadowRoute
from enginehouse.traffic.comparison import read_pairs

SHADOW = ShadowRoute(version=2, share=0.5, concurrency=2)
ROUTES = Routes(
    model="m", generation=3, champion=1, arms=(Arm(version=1, weight=100),), shadow=SHADOW
)
SAMPLE = RequestSample(at=1.0, request_id="chatcmpl-1", model="m", version=1, rollout="r")


@dataclass
class TextChunk:
    text: str
    finish: str | None = None


@dataclass
class Usage:
    prompt_tokens: int = 3
    completion_tokens: int = 2


@dataclass
class Times:
    first_s: float | None = 0.1
    inter_token_s: float | None = 0.01


@dataclass
class Answer:
    """An answer under way that waits for `go`."""

    text: str
    go: asyncio.Event
    error: Exception | None = None
    usage: Usage = field(default_factory=Usage)
    times: Times = field(default_factory=Times)

    async def pieces(self) -> AsyncGenerator[TextChunk, None]:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        yield TextChunk(self.text[:3])
        yield TextChunk(self.text[3:], "stop")


class Bench:
    """A `Shadow` with everything around it."""

    def __init__(self, directory: Path, *, pairs: int = 0) -> None:
        self.directory = directory
        self.registry = CollectorRegistry()
        self.samples: list[RequestSample] = []
        self.lines = LineBuffer(Journal(directory))
        self.shadow = Shadow(
            ShadowMetrics(self.registry),
            self.samples.append,
            self.lines,
            pairs=pairs,
            draw=lambda: 0.4,
        )
        self.go = asyncio.Event()

    def copy(self, text: str = "four", error: Exception | None = None) -> None:
        self.shadow.copy(SHADOW, original(), self.starts(text, error))

    def starts(self, text: str, error: Exception | None) -> Callable[[str], Awaitable[Answer]]:
        async def start(_: str) -> Answer:
            return Answer(text, self.go, error)

        return start

    async def settle(self) -> None:
        self.go.set()
        await self.shadow.settled()
        await self.lines.close()

    def ended(self, end: str) -> float:
        labels = {"model": "m", "version": "2", "end": end}
        return self.registry.get_sample_value("enginehouse_shadow_copies_total", labels) or 0.0


def original() -> OriginalAnswer:
    return OriginalAnswer(SAMPLE, "user: I am a@b.org, what is 2+2?", "four", "stop")


def test_a_copy_is_compared_sampled_and_counted(tmp_path: Path) -> None:
    async def scenario() -> Bench:
        bench = Bench(tmp_path)
        bench.copy()
        await bench.settle()
        return bench

    bench = asyncio.run(scenario())
    (sample,) = bench.samples
    assert (sample.shadow, sample.version, sample.rollout) == (True, 2, "r")
    assert (sample.ttft_s, sample.completion_tokens, sample.finish) == (0.1, 2, "stop")
    assert sample.request_id != SAMPLE.request_id
    assert bench.ended("compared") == 1
    (pair,) = read_pairs(tmp_path, "m")
    assert pair.comparison.exact
    assert (pair.prompt, pair.shadow_answer) == (None, None)


def test_texts_are_kept_only_on_request_redacted_and_up_to_the_number(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench = Bench(tmp_path, pairs=1)
        bench.go.set()
        for _ in range(2):
            bench.copy("five")
            await bench.shadow.settled()
        await bench.settle()

    asyncio.run(scenario())
    first, second = read_pairs(tmp_path, "m")
    assert first.prompt == "user: I am [e-mail], what is 2+2?"
    assert (first.champion_answer, first.shadow_answer) == ("four", "five")
    assert second.prompt is None
    assert not second.comparison.exact


def test_copies_beyond_the_budget_are_dropped_and_counted(tmp_path: Path) -> None:
    async def scenario() -> Bench:
        bench = Bench(tmp_path)
        for _ in range(5):
            bench.copy()
        assert bench.ended("busy") == 3
        await bench.settle()
        bench.copy()
        await bench.settle()
        return bench

    bench = asyncio.run(scenario())
    assert bench.ended("busy") == 3
    assert bench.ended("compared") == len(bench.samples) == 3


def test_a_failing_shadow_costs_a_sample_and_nothing_else(tmp_path: Path) -> None:
    async def scenario() -> Bench:
        bench = Bench(tmp_path)
        bench.copy(error=EngineUnavailableError("gone"))
        bench.copy(error=RuntimeError("a bug"))
        await bench.settle()
        bench.copy()
        await bench.settle()
        return bench

    bench = asyncio.run(scenario())
    assert [s.outcome for s in bench.samples] == [Outcome.ERROR, Outcome.OK]
    assert bench.samples[0].code == "503"
    assert (bench.ended("failed"), bench.ended("compared")) == (1, 1)


def test_a_version_that_is_away_is_counted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.shadow.copy(SHADOW, original(), None)
    assert bench.ended("away") == 1


def test_closing_ends_copies_that_would_never_end(tmp_path: Path) -> None:
    async def scenario() -> Bench:
        bench = Bench(tmp_path)
        bench.copy()
        await asyncio.sleep(0)
        await bench.shadow.close()
        return bench

    assert asyncio.run(scenario()).samples == []


def test_a_disk_that_refuses_costs_lines_and_no_copy(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")

    async def scenario() -> Bench:
        bench = Bench(blocked)
        bench.copy()
        await bench.settle()
        return bench

    assert asyncio.run(scenario()).ended("compared") == 1


@pytest.mark.parametrize(
    ("routes", "version", "place", "wanted"),
    [
        (ROUTES, 1, 0.49, True),
        (ROUTES, 1, 0.5, False),
        (ROUTES, 2, 0.0, False),
        (None, 1, 0.0, False),
        (ROUTES.model_copy(update={"shadow": None}), 1, 0.0, False),
        (ROUTES.model_copy(update={"champion": 2}), 2, 0.0, False),
    ],
)
def test_a_share_of_the_champions_requests_is_copied(
    tmp_path: Path, routes: Routes | None, version: int, place: float, *, wanted: bool
) -> None:
    lines = LineBuffer(Journal(tmp_path))
    metrics = ShadowMetrics(CollectorRegistry())
    shadow = Shadow(metrics, lambda _: None, lines, draw=lambda: place)
    assert (shadow.wanted(routes, version) is not None) is wanted


def test_number_of_pairs_is_read_from_the_environment() -> None:
    assert pairs_kept({}) == 0
    assert pairs_kept({"ENGINEHOUSE_SHADOW_PAIRS": "20"}) == 20
    with pytest.raises(SettingsError, match="ENGINEHOUSE_SHADOW_PAIRS='many'"):
        pairs_kept({"ENGINEHOUSE_SHADOW_PAIRS": "many"})
