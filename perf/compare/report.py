"""Writes a comparison: JSON with every burst, Markdown, and a plot of the pairs."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from enginehouse.perf.compare.measure import WATCHED, Judged, PerformanceComparison
from matplotlib.figure import Figure

from enginehouse.paired import Change

_TITLES = {
    "tokens_per_s": "time a token",
    "ttft": "TTFT, one stream",
    WATCHED: "TTFT in the bursts",
}
_SENTENCES = {
    Change.SLOWER: "**{second} is slower than {first}.**",
    Change.FASTER: "{second} is faster than {first}.",
    Change.SAME: "{second} is as fast as {first}: no change of {margin:.0%} or near it.",
    Change.UNCERTAIN: "Uncertain: the machine was too noisy. Give more pairs, or a quieter one.",
}


@dataclass(frozen=True, slots=True)
class WrittenComparison:
    """The folder of a comparison's files, and its Markdown."""

    folder: Path
    text: str


def markdown(found: PerformanceComparison) -> str:
    """The verdict, the ratios and the medians as Markdown."""
    sentence = _SENTENCES[found.change].format(
        first=found.first, second=found.second, margin=found.margin
    )
    lines = [
        f"# {found.model}: {found.second} against {found.first}",
        "",
        sentence,
        "",
        f"| metric | {found.first} | {found.second} | ratio of times | 95 % interval | pairs | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    lines += [_row(found, name, judged) for name, judged in found.metrics.items()]
    lines += [
        "",
        (
            f"Profile {found.profile.name}, {found.profile.levels[0]:g} streams; bursts of the "
            "same prompts to both versions in turn, and single requests between them, on one "
            "Triton with no other traffic. A ratio above 1 means slower; the line is drawn at half "
            f"of {found.margin:.0%}. What is watched counts if it is certainly slower. "
            f"{found.host.cpu_model}, {found.host.cpu_count} cores; "
            f"{found.measured_at.isoformat(timespec='seconds')}."
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(found: PerformanceComparison, name: str, judged: Judged) -> str:
    cells = [
        _TITLES.get(name, name),
        _median(found, found.first, name),
        _median(found, found.second, name),
        f"{judged.ratio:.3f}",
        f"{judged.low:.3f} to {judged.high:.3f}",
        str(judged.pairs),
        judged.change.value if judged.decisive else f"{judged.change.value} (watched)",
    ]
    return f"| {' | '.join(cells)} |"


def _median(found: PerformanceComparison, side: str, name: str) -> str:
    figures = found.figures[side]
    if name == "ttft":
        return f"{np.median(found.alone_ms[side]):.1f} ms"
    if name == WATCHED:
        return f"{np.median([one.ttft.p50 for one in figures]):.1f} ms"
    return f"{np.median([one.tokens_per_s for one in figures]):.1f} tokens/s"


def plot(found: PerformanceComparison) -> bytes:
    """PNG plot of the ratio of every pair, with the estimate and its interval."""
    figure = Figure(figsize=(9.0, 4.0), dpi=110, layout="constrained")
    for axes, (name, judged) in zip(
        figure.subplots(1, len(found.metrics), squeeze=False)[0],
        found.metrics.items(),
        strict=True,
    ):
        ratios = [math.exp(value) for value in judged.log_ratios]
        axes.plot(range(1, len(ratios) + 1), ratios, "o", markersize=4, color="#1b6ca8")
        axes.axhspan(judged.low, judged.high, color="#1b6ca8", alpha=0.15)
        axes.axhline(judged.ratio, color="#1b6ca8")
        axes.axhline(math.sqrt(1 + found.margin), color="#d1603d", linestyle="--")
        axes.axhline(1.0, color="#999999", linewidth=0.8)
        axes.set(title=f"{_TITLES.get(name, name)}: {judged.change.value}", xlabel="pair")
        axes.set_ylabel(f"{found.second} / {found.first}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def write_comparison(found: PerformanceComparison, reports_dir: Path) -> WrittenComparison:
    """Write all files into a new folder.

    Raises:
        OSError: if it cannot be written.
    """
    moment = found.measured_at.strftime("%Y%m%d-%H%M%S")
    folder = reports_dir / f"compare-{found.model}-{moment}"
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(found)
    (folder / "comparison.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    (folder / "comparison.md").write_text(text, encoding="utf-8")
    (folder / "pairs.png").write_bytes(plot(found))
    return WrittenComparison(folder, text)
