"""Places in a request's body, written as OpenAI writes them: ``input[2].content[0].text``."""

from __future__ import annotations

from collections.abc import Iterable

#: Names may be a caller's own, as the keys of `metadata` are, and as long as they like.
_MOST_NAME, _MOST_PATH = 64, 256


def field_path(steps: Iterable[str | int]) -> str:
    """A place; the body itself is the empty text."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            name = step if len(step) <= _MOST_NAME else f"{step[:_MOST_NAME]}…"
            path += f".{name}" if path else name
    return path if len(path) <= _MOST_PATH else f"{path[:_MOST_PATH]}…"
