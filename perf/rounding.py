"""Figures as tables show them."""

from __future__ import annotations

_DIGITS = 3


def shown(value: float) -> str:
    """Three digits, or all before the point: the rest is noise, and takes the terminal's width."""
    decimals = max(0, _DIGITS - len(f"{abs(value):.0f}"))
    return f"{value:.{decimals}f}"
