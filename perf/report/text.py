"""Renders a campaign as text and tables."""

from __future__ import annotations

from enginehouse.perf.campaign import CampaignLevel, CampaignReport, Spread
from enginehouse.perf.rounding import shown

_COLUMNS = (
    ("tokens/s", "tokens_per_s"),
    ("requests/s", "requests_per_s"),
    ("goodput/s", "goodput_per_s"),
    ("TTFT p50 ms", "ttft_p50_ms"),
    ("p95", "ttft_p95_ms"),
    ("inter-token p50 ms", "inter_token_p50_ms"),
    ("p95", "inter_token_p95_ms"),
    ("total p50 ms", "total_p50_ms"),
)


def circumstances(report: CampaignReport) -> list[tuple[str, str]]:
    """The conditions of the measurement, as pairs of name and value."""
    host = report.host
    gpus = ", ".join(gpu.name for gpu in host.gpus)
    machine = f"{host.cpu_model}, {host.cpu_count} cores, {host.memory_bytes / 2**30:.0f} GiB"
    slo = report.profile.slo
    limits = slo.model_dump(exclude_none=True) if slo else {}
    return [
        ("model", f"{report.model} version {report.version}"),
        ("profile", f"{report.profile.name}: {report.profile.description}"),
        ("entry point", report.entry_point),
        ("driver", f"{report.driver} {report.driver_version}"),
        ("SLO", ", ".join(f"{key} {value:g}" for key, value in limits.items()) or "none"),
        ("machine", f"{machine}, {gpus}" if gpus else machine),
        ("versions", ", ".join(f"{k} {v}" for k, v in report.versions.items())),
        ("engine settings", ", ".join(f"{k}={v}" for k, v in report.settings.items())),
        ("measured at", report.measured_at.isoformat(timespec="seconds")),
    ]


def header(report: CampaignReport) -> list[str]:
    """The column titles of the table."""
    return [_load_name(report), *(title for title, _ in _COLUMNS), "noise", "failed"]


def rows(report: CampaignReport) -> list[list[str]]:
    """One row for each level: medians over the repeats, and the noise of tokens/s."""
    return [_row(level) for level in report.levels]


def _row(level: CampaignLevel) -> list[str]:
    failed = sum(run.figures.failed for run in level.runs)
    return [
        f"{level.level:g}",
        *(_cell(level.spread.get(key)) for _, key in _COLUMNS),
        f"{level.spread['tokens_per_s'].noise:.1%}",
        str(failed),
    ]


def _cell(spread: Spread | None) -> str:
    return "" if spread is None else shown(spread.median)


def _load_name(report: CampaignReport) -> str:
    return {"concurrency": "streams", "request_rate": "requests/s asked", "bursts": "at once"}[
        report.profile.load.kind
    ]


def markdown(report: CampaignReport) -> str:
    """The report as Markdown, without plots."""
    repeats = len(report.levels[0].runs)
    lines = [f"# {report.profile.name}: {report.model} version {report.version}", ""]
    lines += [f"- {name}: {value}" for name, value in circumstances(report)]
    lines += ["", f"| {' | '.join(header(report))} |", "|" + "---:|" * len(header(report))]
    lines += [f"| {' | '.join(row)} |" for row in rows(report)]
    lines += [
        "",
        (
            f"Medians of {repeats} repeats, each with other prompts; noise is (largest - least) / "
            "median of tokens/s. TTFT: from sending to the first token. Inter-token: mean of a "
            "request, after its first token."
        ),
    ]
    return "\n".join(lines) + "\n"
