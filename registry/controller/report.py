"""The Markdown report of a release: decisions and figures."""

from __future__ import annotations

from datetime import UTC, datetime

from enginehouse.registry.release_state import Owed
from enginehouse.registry.rollouts.state import AnalysisResult, GateResult


def release_report(owed: Owed) -> str:
    """Render the report."""
    status, event = owed.status, owed.event
    lines = [
        f"# {status.model}: version {status.challenger} after {status.champion}",
        "",
        f"{owed.kind.capitalize()} {status.id}: **{status.phase.value}**, {event.reason or '-'}",
        "",
        f"- asked for by {status.actor or 'nobody'}: {status.reason or 'no reason given'}",
        f"- from {_moment(status.started_at)} to {_moment(event.at)}",
        f"- requests of the challenger in finished steps: {status.sampled}",
    ]
    if status.forced_by:
        lines.append(f"- promoted past the analyses by {status.forced_by}")
    if owed.gates:
        lines += ["", "## Gates", "", *_gates(owed.gates)]
    if owed.analyses:
        lines += ["", "## Analyses at the last look", "", *_analyses(owed.analyses)]
    return "\n".join(lines) + "\n"


def _gates(gates: tuple[GateResult, ...]) -> list[str]:
    rows = ["| gate | verdict | reason | overridden |", "|---|---|---|---|"]
    for gate in gates:
        over = f"{gate.overridden_by}: {gate.override_reason}" if gate.overridden_by else ""
        rows.append(f"| {gate.name} | {gate.verdict.value} | {_cell(gate.reason)} | {over} |")
    return rows


def _analyses(results: tuple[AnalysisResult, ...]) -> list[str]:
    rows = [
        "| analysis | verdict | champion (n) | challenger (n) | effect [low, high] | reason |",
        "|---|---|---|---|---|---|",
    ]
    return rows + [
        f"| {r.name} | {r.verdict.value} | {_number(r.champion)} ({r.champion_samples}) "
        f"| {_number(r.challenger)} ({r.challenger_samples}) "
        f"| {_number(r.effect)} [{_number(r.low)}, {_number(r.high)}] | {_cell(r.reason)} |"
        for r in results
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
