"""Writes a session's data as JSON and as the Markdown table of docs/peers.md."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from enginehouse.perf.peers.peer import SideRole

#: The number of streams for which targets are defined.
TARGET_STREAMS = "16"
RATE_TARGET = 1.5
TTFT_TARGET = 0.5
_TTFT_STREAMS = ("1", "16", "32")
_MIB = 2**20


def write_report(data: dict[str, Any], directory: Path) -> Path:
    """Write `peers.json` and `peers.md`; return the path of the latter."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "peers.json").write_text(json.dumps(data, indent=2), encoding="utf-8")
    path = directory / "peers.md"
    path.write_text(markdown(data), encoding="utf-8")
    return path


def markdown(data: dict[str, Any]) -> str:
    """The table, the peers that were left out, the targets and the conditions as Markdown."""
    parts = [_table(data), *_left_out(data), *_targets(data), _circumstances(data)]
    return "\n\n".join(parts) + "\n"


def _table(data: dict[str, Any]) -> str:
    streams = list(data["sides"][0]["streams"])
    ttft = [n for n in _TTFT_STREAMS if n in streams]
    head = [
        "side", "version", *(f"tokens/s at {n}" for n in streams),
        *(f"TTFT p50 ms at {n}" for n in ttft),
    ]  # fmt: skip
    if TARGET_STREAMS in streams:
        head += [
            f"inter-token p50 ms at {TARGET_STREAMS}",
            f"tokens/s of ours at {TARGET_STREAMS}",
            f"TTFT of ours at {TARGET_STREAMS}",
        ]
    head += ["RSS MiB", "start s"]
    ours = _ours(data)
    lines = [f"| {' | '.join(head)} |", "|---|---" + "|---:" * (len(head) - 2) + "|"]
    for side in data["sides"]:
        cells = [side["title"], side["version"]]
        cells += [f"{side['streams'][n]['tokens_per_s']:.0f}" for n in streams]
        cells += [f"{side['streams'][n]['ttft_ms']['p50']:.0f}" for n in ttft]
        if TARGET_STREAMS in streams:
            cells += _at_target(side, ours)
        cells += [f"{side['rss_bytes'] / _MIB:.0f}", f"{side['start_s']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _at_target(side: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    own, base = side["streams"][TARGET_STREAMS], ours["streams"][TARGET_STREAMS]
    return [
        f"{own['inter_token_ms']['p50']:.1f}",
        f"{paired_ratio(own, base):.2f}",
        f"{own['ttft_ms']['p50'] / base['ttft_ms']['p50']:.2f}",
    ]


def paired_ratio(side: dict[str, Any], other: dict[str, Any]) -> float:
    """Median over rounds of the ratio of tokens/s of two sides in the same round."""
    pairs = zip(side["tokens_per_s_runs"], other["tokens_per_s_runs"], strict=True)
    return float(median(a / b for a, b in pairs))


def _ours(data: dict[str, Any]) -> dict[str, Any]:
    return next(side for side in data["sides"] if side["kind"] == SideRole.OURS)


def _left_out(data: dict[str, Any]) -> list[str]:
    return [f"Left out: {name}, {reason}." for name, reason in data["left_out"].items()]


def _targets(data: dict[str, Any]) -> list[str]:
    peers = [side for side in data["sides"] if side["kind"] == SideRole.PEER]
    ours = _ours(data)["streams"].get(TARGET_STREAMS)
    if not peers or ours is None:
        return []
    best = max(peers, key=lambda side: float(side["streams"][TARGET_STREAMS]["tokens_per_s"]))
    theirs = best["streams"][TARGET_STREAMS]
    rate = paired_ratio(ours, theirs)
    ttft = ours["ttft_ms"]["p50"] / theirs["ttft_ms"]["p50"]
    said = (
        f"At {TARGET_STREAMS} streams the best peer server is {best['title']}. Ours gives "
        f"{rate:.2f} times its tokens/s ({_verdict(met=rate >= RATE_TARGET)}: at least "
        f"{RATE_TARGET}) and its TTFT p50 is {ttft:.2f} of that peer's "
        f"({_verdict(met=ttft <= TTFT_TARGET)}: at most {TTFT_TARGET})."
    )
    return [said]


def _verdict(*, met: bool) -> str:
    return "target met" if met else "target missed"


def _circumstances(data: dict[str, Any]) -> str:
    host = data["host"]
    return (
        f"{data['model']}, {data['new_tokens']} new tokens, greedy; medians of {data['rounds']} "
        f"interleaved rounds; {host['cpu_model']}, {host['cpu_count']} cores "
        f"({', '.join(host['cpu_features'])}); {data['measured_at']}; repeat it with "
        f"`{data['command']}`."
    )
