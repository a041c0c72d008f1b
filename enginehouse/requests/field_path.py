"""Formats places in a request's body as OpenAI does: ``input[2].content[0].text``."""

from __future__ import annotations

from collections.abc import Iterable

#: Length limits: names may be chosen by the caller, for example the keys of `metadata`.
_MOST_NAME, _MOST_PATH = 64, 256


def field_path(steps: Iterable[str | int]) -> str:
    """Format a place; the body itself gives the empty string."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = step if len(step) <= _MOST_NAME else f"{step[:_MOST_NAME]}…"
            path += f".{name}" if path else name
    return path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}…"
