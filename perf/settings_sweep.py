"""Compares engine settings on the raw pipeline: the figures of docs/engine-settings.md.

Run as ``python -m enginehouse.perf.settings_sweep BUNDLE [ROUNDS] [CANDIDATE,…]``. Every round
loads each candidate once, so that a drift of the machine's speed affects all alike.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from enginehouse.perf.bench import RawSide
from enginehouse.perf.workload import BurstWorkload

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineSettings

_STREAMS = (1, 16, 32)
_BASE = EngineSettings()
_CANDIDATES: dict[str, EngineSettings] = {
    "default": _BASE,
    "precision f32": _BASE.model_copy(update={"precision_hint": "f32"}),
    "precision bf16": _BASE.model_copy(update={"precision_hint": "bf16"}),
    "KV cache u8": _BASE.model_copy(update={"kv_cache_precision": "u8"}),
    "KV cache bf16": _BASE.model_copy(update={"kv_cache_precision": "bf16"}),
    "batched tokens 128": _BASE.model_copy(update={"max_batched_tokens": 128}),
    "batched tokens 1024": _BASE.model_copy(update={"max_batched_tokens": 1024}),
    "no prefix caching": _BASE.model_copy(update={"prefix_caching": False}),
    "threads 2": _BASE.model_copy(update={"threads": 2}),
    "prompt lookup": _BASE.model_copy(update={"speculative": "prompt_lookup"}),
}
_Figures = dict[str, dict[int, list[tuple[float, float]]]]


def main() -> None:
    """Measure and print a Markdown table."""
    bundle = Bundle.open(Path(sys.argv[1]))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3  # noqa: PLR2004 - optional argument
    names = sys.argv[3].split(",") if len(sys.argv) > 3 else list(_CANDIDATES)  # noqa: PLR2004
    figures: _Figures = {name: {n: [] for n in _STREAMS} for name in names}
    for number in range(rounds):
        for name in names:
            _measure(bundle, _CANDIDATES[name], number, figures[name])
    print(_table(figures))  # noqa: T201 - a command


def _measure(
    bundle: Bundle,
    settings: EngineSettings,
    number: int,
    into: dict[int, list[tuple[float, float]]],
) -> None:
    side = RawSide(bundle, settings)
    try:
        side.run(BurstWorkload(4, 9_000, new_tokens=16))
        for streams in _STREAMS:
            seconds, traces, _ = side.run(BurstWorkload(streams, number * 10 + streams))
            tokens = sum(trace.tokens for trace in traces)
            into[streams].append((tokens / seconds, median(t.first_s for t in traces)))
    finally:
        side.close()


def _table(figures: _Figures) -> str:
    head = "| settings | " + " | ".join(f"{n}: tokens/s | TTFT p50 ms" for n in _STREAMS) + " |"
    rows = [head, "|---|" + "---:|" * (2 * len(_STREAMS))]
    for name, by_streams in figures.items():
        cells = [
            f"{median(rate for rate, _ in by_streams[n]):.0f} | "
            f"{1000 * median(first for _, first in by_streams[n]):.0f}"
            for n in _STREAMS
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
