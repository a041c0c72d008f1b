"""Draws the plots of a campaign as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from enginehouse.perf.campaign import CampaignLevel, CampaignReport, CampaignRun
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_SIZE = (9.0, 4.2)
#: Minimum width of a bin of the timeline in seconds, and maximum number of bins.
_BIN_S = 0.25
_BINS = 200
_COLOURS = ("#1b6ca8", "#d1603d", "#3a7d44", "#8e5572", "#b8860b", "#4f5d75")

Plot = Callable[[CampaignReport], bytes]


def latency_against_throughput(report: CampaignReport) -> bytes:
    """TTFT and inter-token latency over tokens a second: one point for each level."""
    figure = Figure(figsize=_SIZE, dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name, title in (
        (left, "ttft", "time to first token"),
        (right, "inter_token", "inter-token latency"),
    ):
        for quantile, colour in (("p50", _COLOURS[0]), ("p95", _COLOURS[1])):
            _points(axes, report.levels, f"{name}_{quantile}_ms", quantile, colour)
        axes.set(xlabel="output tokens/s", ylabel="ms", title=title)
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    _slo_lines(report, left, right)
    return _png(figure)


def _points(axes: Axes, levels: Sequence[CampaignLevel], key: str, label: str, colour: str) -> None:
    rates = [level.spread["tokens_per_s"] for level in levels]
    values = [level.spread[key] for level in levels]
    x, y = [rate.median for rate in rates], [value.median for value in values]
    below = [[one.median - one.least for one in group] for group in (values, rates)]
    above = [[one.largest - one.median for one in group] for group in (values, rates)]
    axes.errorbar(
        x,
        y,
        yerr=[below[0], above[0]],
        xerr=[below[1], above[1]],
        marker="o",
        capsize=3,
        label=label,
        color=colour,
    )
    for level, at_x, at_y in zip(levels, x, y, strict=True):
        axes.annotate(
            f"{level.level:g}",
            (at_x, at_y),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )


def _slo_lines(report: CampaignReport, ttft: Axes, inter_token: Axes) -> None:
    slo = report.profile.slo
    if slo is None:
        return
    for axes, limit in ((ttft, slo.ttft_ms), (inter_token, slo.inter_token_ms)):
        if limit is not None:
            axes.axhline(limit, color="#999999", linestyle="--", linewidth=1)
            axes.annotate(
                "SLO",
                (0.01, limit),
                xycoords=("axes fraction", "data"),
                fontsize=8,
                annotation_clip=True,
            )


def distributions(report: CampaignReport) -> bytes:
    """Cumulative distributions of TTFT and inter-token latency over all repeats."""
    figure = Figure(figsize=_SIZE, dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, level in enumerate(report.levels):
        colour = _COLOURS[index % len(_COLOURS)]
        samples = [sample for run in level.runs for sample in run.samples]
        _ecdf(left, [s.ttft_ms for s in samples if s.ttft_ms is not None], level.level, colour)
        gaps = [s.inter_token_ms for s in samples if s.inter_token_ms is not None and s.tokens > 1]
        _ecdf(right, gaps, level.level, colour)
    for axes, title in ((left, "time to first token"), (right, "inter-token latency")):
        axes.set(xlabel="ms", ylabel="share of requests", title=title, ylim=(0, 1.02))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(title=report.profile.load.kind.replace("_", " "))
    return _png(figure)


def _ecdf(axes: Axes, values: Sequence[float], level: float, colour: str) -> None:
    if values:
        ordered = np.sort(np.asarray(values))
        shares = np.arange(1, len(ordered) + 1) / len(ordered)
        axes.step(ordered, shares, where="post", label=f"{level:g}", color=colour)


def timeline(report: CampaignReport) -> bytes:
    """Tokens a second and requests in flight over the campaign, with runs and failures marked."""
    figure = Figure(figsize=(9.0, 5.0), dpi=110, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    runs = sorted(
        ((run, level) for level in report.levels for run in level.runs),
        key=lambda pair: pair[0].began_s,
    )
    for run, level in runs:
        colour = _COLOURS[report.levels.index(level) % len(_COLOURS)]
        _tokens(upper, run, colour, _bin_s(runs[-1][0]))
        _in_flight(lower, run, colour)
        for axes in (upper, lower):
            axes.axvline(run.began_s, color="#bbbbbb", linewidth=0.8)
        upper.annotate(
            f"{level.level:g}",
            (run.began_s, 1.0),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            va="bottom",
            color=colour,
        )
        for sample in run.samples:
            if sample.error is not None:
                lower.plot(run.began_s + sample.sent_s, 0, "x", color="#c1121f")
    upper.set(ylabel="output tokens/s")
    upper.set_title("a line where a run begins, with its load; x a failed request", pad=16)
    lower.set(xlabel="seconds", ylabel="requests in flight")
    for axes in (upper, lower):
        axes.grid(visible=True, alpha=0.3)
        axes.set_ylim(bottom=0)
    return _png(figure)


def _bin_s(last: CampaignRun) -> float:
    """Width of a bin in seconds; a long campaign has wider bins to remain readable."""
    end = last.began_s + max(last.token_times_s, default=0.0)
    return max(_BIN_S, end / _BINS)


def _tokens(axes: Axes, run: CampaignRun, colour: str, bin_s: float) -> None:
    times = np.asarray(run.token_times_s)
    if not len(times):
        return
    edges = np.arange(0.0, times[-1] + bin_s, bin_s)
    if len(edges) > 1:
        counts, _ = np.histogram(times, edges)
        # A response may carry several tokens, so the curve is scaled to the run's tokens.
        scale = run.figures.tokens / len(times)
        axes.step(run.began_s + edges[:-1], scale * counts / bin_s, where="post", color=colour)


def _in_flight(axes: Axes, run: CampaignRun, colour: str) -> None:
    moments: list[tuple[float, int]] = []
    for sample in run.samples:
        if sample.total_ms is not None:
            moments += [(sample.sent_s, 1), (sample.sent_s + sample.total_ms / 1000, -1)]
    moments.sort()
    if moments:
        counts = np.cumsum([change for _, change in moments])
        times = run.began_s + np.asarray([moment for moment, _ in moments])
        axes.step(times, counts, where="post", color=colour)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


#: Functions that draw the plots, by file name without suffix.
PLOTS: dict[str, Plot] = {
    "latency-throughput": latency_against_throughput,
    "distributions": distributions,
    "timeline": timeline,
}
