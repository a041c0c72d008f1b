"""Markdown tables, and what docstrings say of attributes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

_ATTRIBUTE = re.compile(r"^    (\w+)(?: \([^)]*\))?: (.*)$")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may have any text."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def code(value: object) -> str:
    """A value in the type of code; nothing for None."""
    return "" if value is None else f"`{value}`"


def sentence(text: str) -> str:
    """A docstring's first paragraph on one line, without reStructuredText's double backticks."""
    first = inspect.cleandoc(text or "").split("\n\n")[0]
    return " ".join(first.split()).replace("``", "`")


def attributes(owner: type) -> dict[str, str]:
    """Name → what the section "Attributes" of a class's docstring says."""
    _, _, section = inspect.cleandoc(owner.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if match := _ATTRIBUTE.match(line):
            name = match[1]
            found[name] = match[2]
        elif name and line.startswith("      "):
            found[name] += f" {line.strip()}"
        elif line.strip():
            break
    return {key: text.replace("``", "`") for key, text in found.items()}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
