"""What every match of a pattern contains, so that most texts need not be searched at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

Node = tuple[Any, Any]
_REPEATS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})


def needed_text(pattern: re.Pattern[str]) -> str:
    """The longest text that stands in every match; empty if there is none or it is not clear."""
    parsed = list(_parser.parse(pattern.pattern, pattern.flags & re.VERBOSE))
    return max(_runs(parsed, ignore_case=bool(pattern.flags & re.IGNORECASE)), key=len)


def _runs(nodes: Sequence[Node], *, ignore_case: bool) -> list[str]:
    """Texts that have to be there; one of several letters may be written in either case."""
    runs = [""]
    for op, value in nodes:
        if op is ops.LITERAL and not (ignore_case and _has_case(value)):
            runs[-1] += chr(value)
            continue
        if op in _REPEATS and value[0] > 0:
            runs += _runs(list(value[2]), ignore_case=ignore_case)
        elif op is ops.SUBPATTERN and not value[1]:
            runs += _runs(list(value[3]), ignore_case=ignore_case)
        runs.append("")
    return runs


def _has_case(code: int) -> bool:
    char = chr(code)
    return char.lower() != char.upper()
