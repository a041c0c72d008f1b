"""Writes a benchmark's data as JSON and Markdown."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enginehouse.perf.campaign import measured_versions
from enginehouse.perf.rounding import shown

from enginehouse.host import host_fingerprint

_HEADER = (
    "| streams | side | tokens/s | ratio | TTFT p50 ms | p95 | inter-token p50 ms | p95 "
    "| CPU s engine | Triton | adapter | text |\n"
    "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


def with_circumstances(data: dict[str, Any]) -> dict[str, Any]:
    """The data preceded by time, host and versions."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host_fingerprint(with_gpus=True).model_dump(),
        "versions": measured_versions(),
        **data,
    }


def write_report(whole: dict[str, Any], reports_dir: Path) -> tuple[Path, str]:
    """Write `bench.json` and `bench.md`; return the JSON's path and the Markdown."""
    text = markdown(whole)
    reports_dir.mkdir(parents=True, exist_ok=True)
    path = reports_dir / "bench.json"
    path.write_text(json.dumps(whole, indent=2), encoding="utf-8")
    (reports_dir / "bench.md").write_text(text, encoding="utf-8")
    return path, text


def markdown(data: dict[str, Any]) -> str:
    """The report as a Markdown table with the conditions of the measurement."""
    rows = [
        _row(streams, side, data["sides"][side][streams], ratio)
        for streams, ratio in data["ratios"]["path_over_raw"].items()
        for side in ("raw", "path")
    ]
    host, ttft = data["host"], data["adapter_ttft"]
    rss = ", ".join(f"{role} {size / 2**20:.0f}" for role, size in data["rss_bytes"].items())
    return (
        f"{host['cpu_model']}, {host['cpu_count']} cores; "
        f"{', '.join(f'{k} {v}' for k, v in data['versions'].items())}; {data['measured_at']}\n\n"
        + _HEADER
        + "".join(rows)
        + f"\nAdapter's share of TTFT at 1 stream: {ttft['added_ms']} ms "
        f"({ttft['adapter_ms']['p50']} against {ttft['direct_ms']['p50']} ms, medians of "
        f"{ttft['pairs']}).\nRSS in MiB: {rss}.\n"
    )


def _row(streams: str, side: str, figures: dict[str, Any], ratio: float) -> str:
    cpu = figures["cpu_seconds"]
    times = [figures[of][p] for of in ("ttft_ms", "inter_token_ms") for p in ("p50", "p95")]
    cells = [
        streams,
        side,
        shown(figures["tokens_per_s"]),
        f"{ratio:.3f}" if side == "path" else "",
        *map(shown, times),
        *(shown(cpu[one]) if one in cpu else "" for one in ("engine", "triton", "adapter", "text")),
    ]
    return f"| {' | '.join(cells)} |\n"
