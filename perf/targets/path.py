"""Targets of the path around the engine: whole path compared with raw, and CPU time a token."""

from __future__ import annotations

from typing import Any

from enginehouse.perf.targets.outcome import TargetFigure

_RATIOS = {"1": 0.90, "16": 0.95, "32": 0.95}
_CPU_ROLES = ("adapter", "triton")


def from_bench(bench: dict[str, Any]) -> list[TargetFigure]:
    """Ratios and CPU time from the data of `enginehouse bench`."""
    found = []
    for streams, bound in _RATIOS.items():
        sides = (bench["sides"][side][streams]["tokens_per_s_runs"] for side in ("path", "raw"))
        runs = [round(path / raw, 3) for path, raw in zip(*sides, strict=True)]
        found.append(
            TargetFigure(
                name=f"whole path / raw pipeline, tokens/s at {streams}",
                value=bench["ratios"]["path_over_raw"][streams],
                bound=bound,
                at_least=True,
                unit="",
                values=runs,
                note="median of paired runs",
            )
        )
    shares = [_cpu_a_token(bench["sides"]["path"][streams]) for streams in ("32", "1")]
    found.append(
        TargetFigure(
            name="CPU of adapter and Triton a token, at 32 / at 1",
            value=round(shares[0] / shares[1], 3),
            bound=0.5,
            at_least=False,
            unit="",
            note=f"{1e6 * shares[1]:.0f} µs at 1, {1e6 * shares[0]:.0f} µs at 32",
        )
    )
    return found


def _cpu_a_token(side: dict[str, Any]) -> float:
    """CPU seconds a token: the medians of a burst's CPU time divided by its tokens."""
    seconds = sum(side["cpu_seconds"][role] for role in _CPU_ROLES)
    return float(seconds) / float(side["tokens"])
