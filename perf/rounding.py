"""Rounds figures for tables."""

from __future__ import annotations

_DIGITS = 3


def shown(value: float) -> str:
    """A number with three significant digits, or with all digits before the decimal point."""
    decimals = max(0, _DIGITS - len(f"{abs(value):.0f}"))
    return f"{value:.{decimals}f}"
