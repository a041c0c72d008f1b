"""Writes a capacity report as Markdown and JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from enginehouse.perf.capacity.search import Found, LatencyLimits
from enginehouse.perf.capacity.sizing import Sizing
from enginehouse.perf.measurement import Figures
from pydantic import BaseModel

from enginehouse.host import HostFingerprint, host_fingerprint


class Tried(BaseModel):
    """The result of one tried rate, in requests a second."""

    rate: float
    broken: str | None
    figures: Figures


class CapacityReport(BaseModel):
    """All data of a search; `sizing` is None if no rate met the limits."""

    measured_at: datetime
    host: HostFingerprint
    model: str
    version: int
    profile: str
    ttft_p95_ms: float | None
    inter_token_p95_ms: float | None
    trials: list[Tried]
    sizing: Sizing | None


def report_of(
    found: Found,
    limits: LatencyLimits,
    sizing: Sizing | None,
    *,
    model: str,
    version: int,
    profile: str,
) -> CapacityReport:
    """The data of a report."""
    trials = [Tried(rate=t.rate, broken=t.broken, figures=t.figures) for t in found.trials]
    return CapacityReport(
        measured_at=datetime.now(UTC),
        host=host_fingerprint(with_gpus=True),
        model=model,
        version=version,
        profile=profile,
        ttft_p95_ms=limits.ttft_p95_ms,
        inter_token_p95_ms=limits.inter_token_p95_ms,
        trials=trials,
        sizing=sizing,
    )


def markdown(report: CapacityReport) -> str:
    """The capacity, the sizing, and the tried rates as Markdown."""
    limits = [
        f"{name} ≤ {value:g} ms"
        for name, value in (
            ("TTFT p95", report.ttft_p95_ms),
            ("inter-token p95", report.inter_token_p95_ms),
        )
        if value is not None
    ]
    lines = [f"# Capacity of {report.model} version {report.version}", ""]
    lines += [(f"Within {' and '.join(limits)}, profile {report.profile}, Poisson arrivals, on "
              f"{report.host.cpu_model}, {report.host.cpu_count} cores."), ""]  # fmt: skip
    lines += _sizing(report.sizing)
    lines += ["", "| requests/s | TTFT p95 ms | inter-token p95 ms | tokens/s | |"]
    lines += ["|---:|---:|---:|---:|---|"]
    lines += [
        f"| {t.rate:.2f} | {t.figures.ttft.p95:.0f} | {t.figures.inter_token.p95:.1f} "
        f"| {t.figures.tokens_per_s:.0f} | {t.broken or 'held'} |"
        for t in report.trials
    ]
    return "\n".join(lines) + "\n"


def _sizing(sizing: Sizing | None) -> list[str]:
    if sizing is None:
        return ["**No rate held.** The limits are below what one request alone takes here."]
    lines = [
        (
            f"**One replica carries {sizing.requests_per_s:.2f} requests/s** "
            f"({sizing.tokens_per_s:.0f} output tokens/s, {sizing.in_flight:.1f} requests in "
            "flight)."
        ),
        "",
        f"Planned with {sizing.utilisation:.0%} of that:",
        "",
        (
            f"- scale out above {sizing.scale_out_in_flight:g} requests in flight a replica "
            f"(`enginehouse_engine_requests_in_flight`), in below {sizing.scale_in_in_flight:g}; "
            "any that wait (`enginehouse_engine_requests_waiting`) are a reason at once"
        ),
    ]
    if sizing.replicas is not None and sizing.demand_per_s is not None:
        lines.append(f"- replicas for {sizing.demand_per_s:g} requests/s: **{sizing.replicas}**")
    if sizing.cost_per_million_tokens is not None:
        lines.append(f"- cost of a million output tokens: {sizing.cost_per_million_tokens:.4g}")
    return lines


def write_capacity(report: CapacityReport, reports_dir: Path) -> tuple[Path, str]:
    """Write JSON and Markdown; return their folder and the text.

    Raises:
        OSError: if they cannot be written.
    """
    moment = report.measured_at.strftime("%Y%m%d-%H%M%S")
    folder = reports_dir / f"capacity-{report.model}-{report.version}-{moment}"
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(report)
    (folder / "capacity.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    (folder / "capacity.md").write_text(text, encoding="utf-8")
    return folder, text
