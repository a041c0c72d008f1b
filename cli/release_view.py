"""Shows releases in the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from enginehouse.cli.terminal import styled
from enginehouse.registry.history import ReleaseRecord
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_COLOURS = {"pass": "green", "fail": "red", "error": "yellow", "inconclusive": "dim"}


def release_view(model: dict[str, Any]) -> RenderableType:
    """A model's release: state, steps, gates and analyses."""
    parts: list[RenderableType] = [_head(model)]
    if model["rollout"] is not None and model["kind"] == "rollout":
        parts.append(_steps(model))
    if model["gates"]:
        parts.append(_gates(model["gates"]))
    if model["analyses"]:
        parts.append(_analyses(model["analyses"]))
    return Group(*parts)


def _head(model: dict[str, Any]) -> Table:
    table = Table(show_header=False, title=f"{model['model']} (generation {model['generation']})")
    weights = ", ".join(f"version {v}: {w} %" for v, w in model["weights"].items())
    table.add_row("traffic", weights or "nothing serves")
    table.add_row("champion", str(model["champion"] or "-"))
    table.add_row("previous", str(model["previous"] or "-"))
    table.add_row("loaded", ", ".join(map(str, model["ready"])) or "-")
    rollout = model["rollout"]
    if rollout is not None:
        what = f"{model['kind']} {rollout['id']}, by {rollout['actor'] or 'nobody'}"
        table.add_row("release", what)
        table.add_row("phase", styled((rollout["phase"], "bold")))
        for key in ("reason", "paused_reason", "abort_reason"):
            if rollout[key]:
                table.add_row(key.replace("_", " "), str(rollout[key]))
    if model["problem"]:
        table.add_row("problem", styled((str(model["problem"]), "red")))
    return table


def _steps(model: dict[str, Any]) -> Table:
    rollout = model["rollout"]
    table = Table("step", "challenger's share", "shadow", "at least", "requests", "state")
    active = rollout["phase"] in {"progressing", "paused"}
    for index, step in enumerate(model["steps"]):
        state: str | Text = "done" if index < rollout["step"] else ""
        if index == rollout["step"] and active:
            since = datetime.now(UTC).timestamp() - rollout["step_started_at"]
            state = styled((f"now, since {since:.0f} s", "bold"))
        if rollout["phase"] == "succeeded" and not rollout["forced_by"]:
            state = "done"
        table.add_row(
            str(index + 1),
            f"{step['weight']} %",
            f"{step['shadow']:.0%}" if step["shadow"] else "",
            f"{step['min_duration_s']:.0f} s",
            str(step["min_samples"]),
            state,
        )
    return table


def _gates(gates: list[dict[str, Any]]) -> Table:
    table = Table("gate", "verdict", "reason")
    for gate in gates:
        verdict = _verdict(gate["verdict"])
        if gate["overridden_by"]:
            by = f", overridden by {gate['overridden_by']}: {gate['override_reason']}"
            verdict.append_text(styled(by))
        table.add_row(gate["name"], verdict, str(gate["reason"]))
    return table


def _analyses(results: list[dict[str, Any]]) -> Table:
    table = Table("analysis", "verdict", "champion", "challenger", "reason")
    for r in results:
        table.add_row(
            r["name"],
            _verdict(r["verdict"]),
            f"{_number(r['champion'])} ({r['champion_samples']})",
            f"{_number(r['challenger'])} ({r['challenger_samples']})",
            str(r["reason"]),
        )
    return table


def _verdict(text: str) -> Text:
    return styled((text, _COLOURS.get(text, "white")))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def history_view(name: str, releases: list[ReleaseRecord]) -> RenderableType:
    """Releases, newest first: who, when, outcome and figures."""
    parts: list[RenderableType] = [styled(f"{name}: {len(releases)} releases, newest first")]
    for release in releases:
        last = release.events[-1] if release.events else None
        colour = {"succeeded": "green", "aborted": "red"}.get(release.outcome, "yellow")
        what = f"{release.kind} of version {release.challenger}"
        if release.champion not in (None, release.challenger):
            what += f" after {release.champion}"
        head = (
            f"{release.started.astimezone():%Y-%m-%d %H:%M:%S}  {what}: ",
            (release.outcome, colour),
            f", by {release.actor or 'nobody'}",
        )
        parts.append(styled(*head))
        if release.reason:
            parts.append(styled(f"    asked:   {release.reason}"))
        if last is not None and last.reason not in ("", release.reason):
            parts.append(styled(f"    ended:   {last.reason}"))
        numbers = _numbers(release.metrics)
        if numbers:
            parts.append(styled(f"    numbers: {numbers}"))
    return Group(*parts)


def _numbers(metrics: dict[str, float]) -> str:
    effects = {k: v for k, v in metrics.items() if k.endswith((".effect", ".time_ratio"))}
    return ", ".join(f"{key} {value:.3g}" for key, value in effects.items())
