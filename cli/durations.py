"""Parses durations such as `15m`."""

from __future__ import annotations

import re

import typer

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MILLISECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)ms")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])")


def duration_s(text: str) -> float:
    """Seconds of ``90s``, ``15m``, ``1h`` or ``30d``; for an option's `parser`.

    Raises:
        typer.BadParameter: if the text is not a duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r}: give a number and a unit, as in 90s, 15m, 1h or 30d")
    return float(found[1]) * _SECONDS[found[2]]


def latency_s(text: str) -> float:
    """Seconds of ``20ms``, ``1.5s`` or a form of `duration_s`; for an option's `parser`.

    Raises:
        typer.BadParameter: if the text is not a duration.
    """
    found = _MILLISECONDS.fullmatch(text.strip())
    if found is not None:
        return float(found[1]) / 1000
    try:
        return duration_s(text)
    except typer.BadParameter:
        raise typer.BadParameter(
            f"{text!r}: give a number and a unit, as in 500ms, 1.5s or 1m"
        ) from None
