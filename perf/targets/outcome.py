"""The measured figure of a target, and the report of all targets."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from enginehouse.host import HostFingerprint


class TargetFigure(BaseModel):
    """The measured figure of one target.

    Attributes:
        name: name of the measurement.
        bound: value of the target.
        at_least: True if the target is a minimum, False if it is a maximum.
        values: one value for each repeat.
        note: method of the measurement.
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
        """Whether the target is met."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class TargetsReport(BaseModel):
    """All figures of one run."""

    kind: Literal["targets"] = "targets"
    measured_at: datetime
    host: HostFingerprint
    versions: dict[str, str]
    outcomes: list[TargetFigure]


def markdown(report: TargetsReport) -> str:
    """The targets as a Markdown table with the conditions of the measurement."""
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
