"""The adapter's metrics page has one family for one figure."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from enginehouse.generation import Chunk
from tests.api.speaking import Adapter, Speaker, speaking

_PREFIXES = ("gen_ai_server_", "enginehouse_")
#: Other names of the same figures, as other servers' metrics pages have them.
_SYNONYMS = {
    "ttft_seconds": "time_to_first_token_seconds",
    "inter_token_latency_seconds": "time_per_output_token_seconds",
    "time_between_tokens_seconds": "time_per_output_token_seconds",
    "call_duration_seconds": "request_duration_seconds",
    "e2e_request_latency_seconds": "request_duration_seconds",
}
#: How far two sums of one interval may lie apart: the code between two looks at the clock.
_TOLERANCE = 0.02


@dataclass
class Clock:
    """`time.perf_counter` with an offset that tests advance."""

    offset_s: float = 0.0

    def __post_init__(self) -> None:
        self._real = time.perf_counter

    def __call__(self) -> float:
        return self._real() + self.offset_s


def families(page: str) -> list[Metric]:
    """The page's families, without the times at which their series were created."""
    found = text_string_to_metric_families(page)
    return [family for family in found if not family.name.endswith("_created")]


def same_names(found: list[Metric]) -> list[list[str]]:
    """Names that differ in their prefix only, or are synonyms."""
    by_figure: dict[str, list[str]] = defaultdict(list)
    for family in found:
        figure = family.name
        for prefix in _PREFIXES:
            figure = figure.removeprefix(prefix)
        by_figure[_SYNONYMS.get(figure, figure)].append(family.name)
    return [names for names in by_figure.values() if len(names) > 1]


def histogram_sums(found: list[Metric]) -> dict[str, tuple[float, float]]:
    """Count and sum of each histogram, over all labels."""
    totals: dict[str, tuple[float, float]] = {}
    for family in found:
        if family.type == "histogram":
            samples = family.samples
            count = sum(s.value for s in samples if s.name == f"{family.name}_count")
            seconds = sum(s.value for s in samples if s.name == f"{family.name}_sum")
            totals[family.name] = (count, seconds)
    return totals


def same_observations(
    before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]
) -> list[tuple[str, str]]:
    """Pairs of histograms that were fed with the same intervals between two looks at the page."""
    grown = {}
    for name, (count, seconds) in after.items():
        count_before, seconds_before = before.get(name, (0.0, 0.0))
        if count > count_before and seconds - seconds_before > 1.0:
            grown[name] = seconds - seconds_before
    names = sorted(grown)
    return [
        (one, other)
        for i, one in enumerate(names)
        for other in names[i + 1 :]
        if abs(grown[one] - grown[other]) <= _TOLERANCE * grown[one]
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock on which each chunk of the replica takes ten times as long as the one before."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    says = Speaker.generate

    async def slowly(self: Speaker, *args: Any, **kwargs: Any) -> AsyncGenerator[Chunk, None]:
        took_s = 10.0
        async for chunk in says(self, *args, **kwargs):
            clock.offset_s += took_s
            took_s *= 10
            yield chunk

    monkeypatch.setattr(Speaker, "generate", slowly)
    return clock


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[Adapter]:
    with speaking(tmp_path) as adapter:
        yield adapter


def test_no_figure_has_two_names(adapter: Adapter) -> None:
    adapter.chat("One two three.", stream=True)
    found = families(adapter.http.get("/metrics").text)
    assert any(family.name == "gen_ai_server_time_to_first_token_seconds" for family in found)
    assert same_names(found) == []


@pytest.mark.usefixtures("clock")
def test_no_two_histograms_are_fed_by_one_observation(adapter: Adapter) -> None:
    before = histogram_sums(families(adapter.http.get("/metrics").text))
    adapter.chat("One two three.", stream=True)
    after = histogram_sums(families(adapter.http.get("/metrics").text))
    grown = [name for name in after if after[name][1] - before.get(name, (0, 0.0))[1] > 1.0]
    assert {
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_per_output_token_seconds",
        "gen_ai_server_time_to_first_token_seconds",
    } <= set(grown)
    assert same_observations(before, after) == []


@pytest.mark.parametrize(
    "name", ["time_to_first_token_seconds", "ttft_seconds", "inter_token_latency_seconds"]
)
def test_a_second_name_of_a_figure_is_found(name: str) -> None:
    registry = CollectorRegistry()
    standard = _SYNONYMS.get(name, name)
    Histogram(f"gen_ai_server_{standard}", "By the standard", registry=registry)
    Histogram(f"enginehouse_{name}", "Again", registry=registry)
    (names,) = same_names(families(generate_latest(registry).decode()))
    assert sorted(names) == [f"enginehouse_{name}", f"gen_ai_server_{standard}"]


def test_a_second_histogram_of_an_interval_is_found() -> None:
    registry = CollectorRegistry()
    one = Histogram("enginehouse_a_seconds", "One", registry=registry)
    other = Histogram("enginehouse_b_seconds", "The same, looked at later", registry=registry)
    unlike = Histogram("enginehouse_c_seconds", "Another interval", registry=registry)
    one.observe(100.0)
    other.observe(100.5)
    unlike.observe(110.0)
    after = histogram_sums(families(generate_latest(registry).decode()))
    assert same_observations({}, after) == [("enginehouse_a_seconds", "enginehouse_b_seconds")]
