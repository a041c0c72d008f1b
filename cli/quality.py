"""`enginehouse evaluate`, `enginehouse drift`, `enginehouse shadow`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from enginehouse.cli.terminal import styled
from rich.table import Table

from enginehouse.errors import SettingsError
from enginehouse.traffic.comparison import ShadowPair, read_pairs, summary

if TYPE_CHECKING:
    # scipy's import would delay every command by half a second.
    from enginehouse.registry.quality.drift import Drift
    from enginehouse.registry.quality.evaluate import Evaluation
    from enginehouse.registry.quality.pairs import ScorerComparison

NameArgument = Annotated[str, typer.Argument(help="Registered model, for example smollm2.")]
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
#: Exit status of `drift` if prompts have changed, for cron jobs and alerts.
DRIFT_STATUS = 3
_CERTAIN = 0.05


def evaluate_versions(
    model: NameArgument,
    first: Annotated[int, typer.Argument(min=1, help="Version to compare with.")],
    second: Annotated[int, typer.Argument(min=1, help="Version to judge.")],
    data: Annotated[Path, typer.Option("--data", help="JSON lines with inputs, expectations.")],
    scorer: Annotated[
        list[str] | None, typer.Option("--scorer", help="Your scorer, module:function; repeatable.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 is greedy.")] = 0.0,
    workers: Annotated[int, typer.Option(min=1, help="Concurrent questions.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Run two versions on a data set and compare them row by row.

    Both versions have to be loaded in a running stack. A line of the data set is
    `{"inputs": {"question": "2 + 2?"}, "expectations": {"expected_response": "4"}}`.

    Example: `enginehouse evaluate smollm2 7 8 --data questions.jsonl`
    """
    from enginehouse.registry.quality.evaluate import Options, evaluate, load_rows

    rows = load_rows(data)
    say(f"{len(rows)} questions to each of {model}@{first} and {model}@{second}")
    found = evaluate(
        current_settings(),
        model,
        (first, second),
        rows,
        scorers=scorer or (),
        options=Options(max_tokens=max_tokens, temperature=temperature, workers=workers),
    )
    if as_json:
        print_json(found.as_json())
        return
    console.print(_evaluation_table(found))
    for scored in (found.first, found.second):
        failed = f", {scored.failed} questions without an answer" if scored.failed else ""
        say(f"{model}@{scored.version}: MLflow run {scored.run_id}{failed}")


def drift(
    model: NameArgument,
    reference: Annotated[str, typer.Option(help="Length of the window before: 7d, 12h.")] = "7d",
    current: Annotated[str, typer.Option(help="Length of the window up to now.")] = "1d",
    metrics_file: Annotated[
        Path | None, typer.Option(help="Write Prometheus metrics here (textfile collector).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare current prompts with earlier ones; exit status 3 means that they changed.

    Reads the traces that are recorded with `ENGINEHOUSE_TRACE_SHARE`.

    Example: `enginehouse drift smollm2 --reference 7d --current 1d`
    """
    from enginehouse.registry.quality.drift import DriftThresholds, DriftVerdict, prometheus_page
    from enginehouse.registry.quality.windows import TimeWindow, check_drift

    now = time.time()
    edge = now - _seconds("--current", current)
    windows = TimeWindow(edge - _seconds("--reference", reference), edge), TimeWindow(edge, now)
    settings = current_settings()
    found, notes = check_drift(settings, model, *windows, limits=DriftThresholds())
    if metrics_file is not None:
        _replace(metrics_file, prometheus_page(model, found, now))
    if as_json:
        print_json({"model": model, "notes": notes, "results": [one.as_json() for one in found]})
    else:
        console.print(_drift_table(model, found))
        for note in notes:
            say(note)
    changed = [one.what for one in found if one.verdict is DriftVerdict.DRIFT]
    if changed:
        say(f"drift: the {' and the '.join(changed)} of prompts to {model} changed")
        raise typer.Exit(DRIFT_STATUS)


def shadow(
    model: NameArgument,
    pairs: Annotated[int, typer.Option(min=0, help="Pairs to show, the least similar first.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show how a shadow version's answers compare with the champion's.

    Texts are stored only if the adapter runs with `ENGINEHOUSE_SHADOW_PAIRS=<count>`.

    Example: `enginehouse shadow smollm2 --pairs 5`
    """
    found = read_pairs(current_settings().journal_dir, model)
    if as_json:
        print_json([pair.model_dump(mode="json") for pair in found])
        return
    if not found:
        console.print(f"no shadow comparisons of {model} yet: a rollout's first step makes them")
        return
    table = Table("versions", "pairs", "exact", "alike", "length", "same end", "same JSON")
    for row in summary(found):
        table.add_row(
            f"{row.champion} → {row.shadow}",
            str(row.pairs),
            f"{row.exact:.0%}",
            f"{row.similarity:.2f}",
            f"{row.length_ratio:.2f}",
            f"{row.same_finish:.0%}",
            f"{row.same_json:.0%}",
        )
    console.print(table)
    _show_pairs(found, pairs)


def _show_pairs(found: Sequence[ShadowPair], count: int) -> None:
    with_text = [pair for pair in found if pair.prompt is not None]
    for pair in sorted(with_text, key=lambda pair: pair.comparison.similarity)[:count]:
        console.rule(f"{pair.request_id}  alike {pair.comparison.similarity:.2f}")
        for title, text in (
            ("prompt", pair.prompt),
            (f"version {pair.champion}", pair.champion_answer),
            (f"version {pair.shadow}", pair.shadow_answer),
        ):
            console.print(styled((title, "bold"), f"  {text or ''}"), soft_wrap=True)


def _evaluation_table(found: Evaluation) -> Table:
    table = Table(
        "scorer",
        f"version {found.first.version}",
        f"version {found.second.version}",
        "difference [95 %]",
        "p",
        "better / worse",
        "pairs",
        title=f"{found.model}, {found.rows} questions",
    )
    for one in sorted(found.comparisons, key=lambda one: one.scorer):
        p_value = "" if one.p_value is None else f"{one.p_value:.3g}"
        certain = one.p_value is not None and one.p_value < _CERTAIN
        table.add_row(
            one.scorer,
            _value(one, one.first),
            _value(one, one.second),
            _interval(one),
            styled((p_value, "bold" if certain else "")),
            f"{one.gained} / {one.lost}",
            str(one.pairs),
        )
    return table


def _value(one: ScorerComparison, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if one.rate else f"{value:.4g}"


def _interval(one: ScorerComparison) -> str:
    if one.difference is None or one.low is None or one.high is None:
        return "too few"
    if one.rate:
        return f"{100 * one.difference:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
    return f"{one.difference:+.4g} ({one.low:+.4g} to {one.high:+.4g})"


def _drift_table(model: str, found: Sequence[Drift]) -> Table:
    table = Table(
        "of", "test", "before", "now", "effect", "p", "verdict", title=f"{model}: prompts"
    )
    for one in found:
        bounds = "" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})"
        table.add_row(
            one.what,
            one.statistic,
            _window(one.reference, one.reference_value),
            _window(one.current, one.current_value),
            "" if one.effect is None else f"{one.effect:.3f}{bounds}",
            "" if one.p_value is None else f"{one.p_value:.3g}",
            one.verdict.value,
        )
    return table


def _window(count: int, median: float | None) -> str:
    return f"{count}" if median is None else f"{count}, median {median:g}"


def _seconds(option: str, text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _SECONDS or not int(number):
        raise SettingsError(f"{option} {text!r}: give a number and one of s, m, h, d, w, as in 7d")
    return float(int(number) * _SECONDS[unit])


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically: a collector must never read an incomplete one."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
