"""Checks the planner against published figures: `python -m enginehouse.perf.planner.check`.

It checks that no published figure exceeds its bound, and that the expected figure is within a
stated factor of the published one. The table of docs/gpu-planning.md is the output of this module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import yaml
from enginehouse.perf.planner.bounds import (
    PlannedWorkload,
    batch_ceiling,
    decode_roofs,
    throughput_bound,
    ttft_bound_s,
)
from enginehouse.perf.planner.deployment import Deployment, deploy
from enginehouse.perf.planner.expected import PlannedReplica
from enginehouse.perf.planner.gpu import find_gpu
from enginehouse.perf.planner.model import catalogue

_PUBLISHED = Path(__file__).with_name("published.yaml")
Kind = Literal["throughput", "single stream", "TTFT", "ITL"]
#: Largest factor between the expected and the published figure, in either direction.
FACTOR_THROUGHPUT = 1.35
FACTOR_SINGLE_STREAM = 1.5
FACTOR_LATENCY = 1.5
_COLUMNS = (
    "source",
    "figure",
    "model",
    "GPUs",
    "weights",
    "used",
    "figures",
    "published",
    "of its bound",
    "expected ÷ published",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure with the planner's bound and expectation.

    Attributes:
        published, bound, expected: in tokens/s, or in milliseconds for a latency.
    """

    kind: Kind
    source: str
    role: str
    deployment: Deployment
    workload: PlannedWorkload
    published: float
    bound: float
    expected: float

    @property
    def is_latency(self) -> bool:
        """Whether smaller is better, so that the bound is a lower bound."""
        return self.kind in {"TTFT", "ITL"}

    @property
    def efficiency(self) -> float:
        """Share of the bound that was reached. A value above 1 means that the bound is wrong."""
        return self.bound / self.published if self.is_latency else self.published / self.bound

    @property
    def optimism(self) -> float:
        """Ratio by which the expected figure is better than the published one; below 1: worse."""
        ratio = self.expected / self.published
        return 1 / ratio if self.is_latency else ratio

    @property
    def factor(self) -> float:
        """Largest factor between `optimism` and 1, in either direction."""
        if self.is_latency:
            return FACTOR_LATENCY
        return FACTOR_SINGLE_STREAM if self.kind == "single stream" else FACTOR_THROUGHPUT

    @property
    def holds(self) -> bool:
        """Whether both checks pass; for figures with the role "not met" only the bound's."""
        near = 1 / self.factor <= self.optimism <= self.factor
        return self.efficiency <= 1 and (near or self.role == "not met")


@cache
def figures() -> tuple[Figure, ...]:
    """Every published figure, computed with the planner's defaults."""
    data = yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8"))
    return (
        *(figure for entry in data["throughput"] for figure in _floods(entry)),
        *(figure for entry in data["single_stream"] for figure in _single_streams(entry)),
        *(figure for entry in data["serving"] for figure in _served(entry)),
    )


def mean_error(chosen: list[Figure]) -> float:
    """Mean relative difference between expected and published figures; 0.08 is 8 %.

    ``exp(mean |ln(expected / published)|) - 1``: a factor of 2 and of 1/2 count the same.
    """
    logs = [abs(math.log(figure.optimism)) for figure in chosen]
    return math.expm1(sum(logs) / len(logs))


def table() -> str:
    """All figures as Markdown, with one line for each model, GPU and kind."""
    lines = [
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---|---|---|---|---|---:|---:|---:|---:|",
    ]
    ordered = sorted(figures(), key=_group)
    lines += [_line(list(members)) for _, members in groupby(ordered, key=_group)]
    return "\n".join([*lines, "", *_summary()])


def _group(figure: Figure) -> tuple[str, ...]:
    d = figure.deployment
    gpus = f"{d.tensor_parallel} x {d.gpu.name}"
    return (figure.source, figure.kind, d.model.name, gpus, d.precision, figure.role)


def _line(members: list[Figure]) -> str:
    unit = " ms" if members[0].is_latency else " tokens/s"
    cells = [
        *_group(members[0]),
        str(len(members)),
        _range([m.published for m in members], ",.0f") + unit,
        _range([100 * m.efficiency for m in members], ".0f") + " %",
        _range([m.optimism for m in members], ".2f"),
    ]
    return f"| {' | '.join(cells)} |"


def _range(values: list[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _summary() -> Iterator[str]:
    for role in ("fitted", "held out", "not met"):
        for latency in (False, True):
            chosen = [f for f in figures() if f.role == role and f.is_latency == latency]
            if chosen:
                what = "latencies" if latency else "rates"
                ratios = _range([f.optimism for f in chosen], ".2f")
                yield (
                    f"- {role}, {len(chosen)} {what}: mean error {100 * mean_error(chosen):.0f} %, "
                    f"expected ÷ published {ratios}, "
                    f"at most {100 * max(f.efficiency for f in chosen):.0f} % of the bound"
                )


def _deployment(entry: dict[str, Any]) -> Deployment:
    return deploy(
        catalogue()[entry["model"]],
        find_gpu(entry["gpu"]),
        entry["precision"],
        "auto",
        entry["tensor_parallel"],
    )


def _floods(entry: dict[str, Any]) -> Iterator[Figure]:
    """Figures of a throughput test: as many requests at once as the memory holds."""
    d = _deployment(entry)
    for lengths, published in entry["tokens_per_s"].items():
        workload = _workload(lengths)
        replica = PlannedReplica(d, workload)
        bound = throughput_bound(d, workload, batch_ceiling(d, workload))
        expected = replica.throughput(replica.largest_batch)
        yield Figure(
            "throughput", entry["source"], entry["role"], d, workload, published, bound, expected
        )


def _single_streams(entry: dict[str, Any]) -> Iterator[Figure]:
    d = _deployment(entry)
    for lengths, published in entry["tokens_per_s"].items():
        workload = _workload(lengths)
        bound = throughput_bound(d, workload, 1)
        expected = PlannedReplica(d, workload).throughput(1)
        yield Figure(
            "single stream", entry["source"], entry["role"], d, workload, published, bound, expected
        )


def _served(entry: dict[str, Any]) -> Iterator[Figure]:
    """Figures of a latency test at a rate; Little's law gives the requests in flight."""
    d, workload = _deployment(entry), PlannedWorkload(entry["isl"], entry["osl"])
    request_s = (entry["ttft_ms"] + entry["itl_ms"] * (workload.osl - 1)) / 1000
    batch = entry["tokens_per_s"] / workload.osl * request_s
    latencies = PlannedReplica(d, workload).latencies(batch)
    itl_bound = decode_roofs(d, batch, workload.mean_context).seconds
    rows: tuple[tuple[Kind, float, float, float], ...] = (
        ("TTFT", entry["ttft_ms"], ttft_bound_s(d, workload.isl), latencies.ttft_mean_s),
        ("ITL", entry["itl_ms"], itl_bound, latencies.itl_mean_s),
    )
    for kind, published, bound, expected in rows:
        yield Figure(
            kind,
            entry["source"],
            entry["role"],
            d,
            workload,
            published,
            bound * 1000,
            expected * 1000,
        )


def _workload(lengths: str) -> PlannedWorkload:
    isl, osl = lengths.split("/")
    return PlannedWorkload(int(isl), int(osl))


if __name__ == "__main__":
    print(table())  # noqa: T201 - a command
