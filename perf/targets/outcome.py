"""A target and its figure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from enginehouse.host import HostFingerprint


class TargetFigure(BaseModel):
    """One figure.

    Attributes:
        name: what was measured, with its unit.
        bound: what it is held against.
        at_least: whether larger is better.
        values: one a repeat, or one.
        note: how it was measured.
    """

    name: str
    value: float
    bound: float
    at_least: bool
    unit: str
    values: list[float] = []
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the bound is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class TargetsReport(BaseModel):
    """All figures of one run."""

    kind: Literal["targets"] = "targets"
    measured_at: datetime
    host: HostFingerprint
    versions: dict[str, str]
    outcomes: list[TargetFigure]


def markdown(report: TargetsReport) -> str:
    """The table, with its circumstances."""
    lines = [
        (
            f"{report.host.cpu_model}, {report.host.cpu_count} cores; "
            f"{', '.join(f'{k} {v}' for k, v in report.versions.items())}; "
            f"{report.measured_at.isoformat(timespec='seconds')}"
        ),
        "",
        "| figure | measured | target | reached | spread |",
        "|---|---:|---:|---|---|",
        *map(_row, report.outcomes),
        "",
        "How they were measured:",
        "",
        *(f"- {one.name}: {one.note}" for one in report.outcomes if one.note),
    ]
    return "\n".join(lines) + "\n"


def _row(one: TargetFigure) -> str:
    unit = f" {one.unit}" if one.unit else ""
    cells = [
        one.name,
        f"{one.value:g}{unit}",
        f"{'≥' if one.at_least else '≤'} {one.bound:g}{unit}",
        "yes" if one.reached else "**no**",
        f"{min(one.values):g} to {max(one.values):g}" if len(one.values) > 1 else "",
    ]
    return f"| {' | '.join(cells)} |"
