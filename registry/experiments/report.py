"""Renders an experiment's analysis as Markdown with a plot."""

from __future__ import annotations

from pathlib import Path

from enginehouse.registry.experiments.analysis import ExperimentAnalysis, MetricResult
from enginehouse.registry.experiments.definition import ExperimentMetric
from enginehouse.registry.experiments.statistics import SRM_ALPHA, IntervalEstimate

REPORT_NAME = "report.md"
PLOT_NAME = "report.png"
# Okabe and Ito's colour-blind-safe palette.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def write_report(analysis: ExperimentAnalysis, directory: Path) -> Path:
    """Write `report.md` and `report.png`; returns the report's path."""
    directory.mkdir(parents=True, exist_ok=True)
    draw(analysis, directory / PLOT_NAME)
    path = directory / REPORT_NAME
    path.write_text(markdown(analysis), encoding="utf-8")
    return path


def conclusion(analysis: ExperimentAnalysis) -> str:
    """One sentence about the primary metric."""
    spec = analysis.spec
    if analysis.sample_ratio_broken:
        return "**Do not read the results**: the sample ratio does not match the weights."
    if analysis.needed is None:
        return f"No conclusion: `{spec.primary}` has too few values to plan with."
    if not analysis.enough:
        return (
            f"No conclusion yet: `{spec.primary}` needs {analysis.needed} units on "
            f"`{spec.arms[0].name}` to find an effect of {spec.minimum_effect:g} with power "
            f"{spec.power:g}; stopping early on a lucky day finds effects that are not there."
        )
    return " ".join(_sentence(analysis, result) for result in analysis.of(spec.primary)[1:])


def markdown(analysis: ExperimentAnalysis) -> str:
    """The report as Markdown."""
    spec = analysis.spec
    lines = [f"# Experiment `{spec.name}` on `{spec.model}`", "", conclusion(analysis), ""]
    lines += [f"> **Warning:** {warning}\n" for warning in analysis.warnings]
    lines += _assignment(analysis)
    lines += ["## Metrics", "", f"![intervals]({PLOT_NAME})", ""]
    for metric in spec.compared:
        lines += _metric(analysis, metric)
    return "\n".join([*lines, "## How to read this", "", _reading(analysis), ""])


def _reading(analysis: ExperimentAnalysis) -> str:
    spec = analysis.spec
    compared = len(spec.arms) - 1
    return (
        f"Only `{spec.primary}` decides. Its intervals hold together with {1 - spec.alpha:.0%} "
        f"over {compared} comparison{'s' if compared > 1 else ''} (Bonferroni); the other "
        "metrics' intervals each hold alone, and among many some exclude zero by chance. "
        f"Variance is counted over units (`{spec.unit}`), not over requests. Shares: Newcombe's "
        "interval, on an effective sample size where a unit asked more than once, and the pooled "
        "score test or the delta method. Means: Welch over units; ratios by the delta method. "
        f"Sample ratio: chi-square on units at {SRM_ALPHA:g}."
    )


def _sentence(analysis: ExperimentAnalysis, result: MetricResult) -> str:
    metric, difference = result.metric, result.difference
    if difference is None or result.p_value is None:
        return f"`{result.arm}` has too few values of `{metric}`."
    shown = _difference(result)
    if difference.low <= 0 <= difference.high:
        return f"`{result.arm}` does not differ from `{analysis.spec.arms[0].name}`: {shown}."
    higher = difference.value > 0
    word = {"higher": "better", "lower": "worse"}.get(metric.better, "higher")
    if not higher:
        word = {"better": "worse", "worse": "better", "higher": "lower"}[word]
    return f"`{result.arm}` is **{word}** than `{analysis.spec.arms[0].name}`: {shown}."


def _assignment(analysis: ExperimentAnalysis) -> list[str]:
    lines = [
        "## Arms",
        "",
        "| arm | does | weight | units | expected | requests ended | without an end |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for arm, count in zip(analysis.spec.arms, analysis.arms, strict=True):
        does = [f"version {arm.version}"] if arm.version else []
        does += [f"{key} {value}" for key, value in arm.sampling.given().items()]
        does += [f"prompt `{arm.prompt}`"] if arm.prompt else []
        lines.append(
            f"| {arm.name} | {', '.join(does) or 'as it is'} | {arm.weight:g} | {count.units} "
            f"| {count.expected:.1f} | {count.requests} | {count.open} |"
        )
    verdict = "**broken**" if analysis.sample_ratio_broken else "holds"
    return [*lines, "", f"Sample ratio {verdict} (p = {analysis.sample_ratio_p:.3g}).", ""]


def _metric(analysis: ExperimentAnalysis, metric: ExperimentMetric) -> list[str]:
    primary = metric is analysis.spec.primary
    lines = [
        f"### `{metric}`{' (primary)' if primary else ''}",
        "",
        "| arm | units | requests | value | difference | p |",
        "|---|---:|---:|---|---|---:|",
    ]
    for result in analysis.of(metric):
        value = "too few" if result.estimate is None else _shown(metric, result.estimate)
        p_value = "" if result.p_value is None else f"{result.p_value:.3g}"
        lines.append(
            f"| {result.arm} | {result.units} | {result.requests} | {value} "
            f"| {_difference(result)} | {p_value} |"
        )
    return [*lines, ""]


def _shown(metric: ExperimentMetric, estimate: IntervalEstimate) -> str:
    if metric.is_rate:
        return f"{estimate.value:.2%} [{estimate.low:.2%}, {estimate.high:.2%}]"
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{estimate.value:.4g}{unit} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _difference(result: MetricResult) -> str:
    found = result.difference
    if found is None:
        return ""
    if result.metric.is_rate:
        low, value, high = (100 * x for x in (found.low, found.value, found.high))
        return f"{value:+.2f} points [{low:+.2f}, {high:+.2f}]"
    ratio = result.relative
    relative = (
        "" if ratio is None else f", {ratio.value:+.1%} [{ratio.low:+.1%}, {ratio.high:+.1%}]"
    )
    unit = f" {result.metric.unit}" if result.metric.unit else ""
    return f"{found.value:+.4g}{unit} [{found.low:+.4g}, {found.high:+.4g}]{relative}"


def draw(analysis: ExperimentAnalysis, path: Path) -> None:
    """Draw one panel for each metric and one row for each arm: the value and its interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [m for m in analysis.spec.compared if any(r.estimate for r in analysis.of(m))]
    columns = 2 if len(shown) > 1 else 1
    rows = max(1, -(-len(shown) // columns))
    height = 1.1 + 0.28 * len(analysis.spec.arms)
    figure = Figure(figsize=(5.2 * columns, 0.7 + height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, metric in enumerate(shown, start=1):
        _panel(figure.add_subplot(rows, columns, place), analysis, metric)
    note = " · SAMPLE-RATIO MISMATCH: DO NOT READ" if analysis.sample_ratio_broken else ""
    figure.suptitle(f"{analysis.spec.name} on {analysis.spec.model}{note}", fontsize=11)
    figure.savefig(path, dpi=130)


def _panel(axes: object, analysis: ExperimentAnalysis, metric: ExperimentMetric) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)  # noqa: S101 - matplotlib's stub says SubplotBase
    results = analysis.of(metric)
    scale = 100.0 if metric.is_rate else 1.0
    for place, result in enumerate(results):
        if (estimate := result.estimate) is None:
            continue
        value = scale * estimate.value
        error = [[value - scale * estimate.low], [scale * estimate.high - value]]
        axes.errorbar(
            value, place, xerr=error, fmt="o", capsize=4, color=_COLOURS[place % len(_COLOURS)]
        )
        if place == 0:
            axes.axvline(value, color="0.75", linewidth=1, linestyle="--", zorder=0)
    axes.set_yticks(range(len(results)), [f"{r.arm} ({r.units})" for r in results], fontsize=8)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=8)
    better = {"lower": "← better", "higher": "better →"}.get(metric.better, "")
    unit = "%" if metric.is_rate else metric.unit
    title = f"{metric}{f' [{unit}]' if unit else ''}"
    axes.set_title(f"{title}  {better}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if metric is analysis.spec.primary:
        axes.set_facecolor("#F4F7FA")
