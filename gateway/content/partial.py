"""From a regular expression to one that finds where a match may still be open.

While text arrives, the end of what is there may be the beginning of a match, or of a longer one.
`open_end` makes a pattern that matches from such a place to the end of the text. It may match too
much, never too little: what cannot be decided counts as open.

It works on the parsed form of `re`, which has been the same for years but is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

Node = tuple[Any, Any]
_END = r"\Z"
_NEVER = "(?!)"
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "a": re.ASCII, "u": re.UNICODE}
_KEPT = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.ASCII
_PLACES = {
    ops.AT_BEGINNING: "^",
    ops.AT_BEGINNING_STRING: r"\A",
    ops.AT_BOUNDARY: r"\b",
    ops.AT_NON_BOUNDARY: r"\B",
    ops.AT_END: "$",
    ops.AT_END_STRING: r"\Z",
}
_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})
_ASSERTIONS = frozenset({ops.ASSERT, ops.ASSERT_NOT})
_GROUPS = frozenset({ops.SUBPATTERN, ops.ATOMIC_GROUP})
_BACKWARD = -1


def open_end(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """A pattern whose matches reach the end of the text and may become matches of `pattern`.

    It always has one of no characters at the end of the text.

    Raises:
        ValueError: if the pattern refers to its own groups.
    """
    parsed = list(_parser.parse(pattern.pattern, pattern.flags & (_KEPT | re.VERBOSE)))
    return re.compile(_open(parsed), pattern.flags & _KEPT)


def _open(nodes: Sequence[Node]) -> str:
    """Beginnings of what the nodes match, up to the end of the text."""
    if not nodes:
        return _NEVER
    if len(nodes) == 1:
        return _open_one(*nodes[0])
    # By halves: one level of groups for each node would go deeper than `re` can.
    middle = len(nodes) // 2
    left, right = nodes[:middle], nodes[middle:]
    return f"(?:{_open(left)}|{_full(left)}{_open(right)})"


def _open_one(op: Any, value: Any) -> str:
    if op in _REPEATS:
        return _open_repeat(*value)
    if op is ops.BRANCH:
        return f"(?:{'|'.join(_open(list(branch)) for branch in value[1])})"
    if op in _GROUPS:
        return _scoped(op, value, _open)
    if op in _ASSERTIONS:
        # One that looks back has seen all that it needs.
        return _NEVER if value[0] == _BACKWARD else _open(list(value[1]))
    if op is ops.AT:
        # `$` stands before a last line's end, too, until there is more behind that.
        return rf"\n?{_END}" if value is ops.AT_END else _END
    _character(op, value)
    return _END


def _open_repeat(_: int, most: Any, inner: Sequence[Node]) -> str:
    nodes = list(inner)
    if most == 0:
        return _NEVER
    before = "" if most is ops.MAXREPEAT else most - 1
    return f"(?:{_full(nodes)}){{0,{before}}}{_open(nodes)}"


def _full(nodes: Sequence[Node]) -> str:
    """Everything that the nodes match, and perhaps more."""
    return "".join(_full_one(op, value) for op, value in nodes)


def _full_one(op: Any, value: Any) -> str:
    if op in _REPEATS:
        least, most = value[0], "" if value[1] is ops.MAXREPEAT else value[1]
        return f"(?:{_full(list(value[2]))}){{{least},{most}}}"
    if op is ops.BRANCH:
        return f"(?:{'|'.join(_full(list(branch)) for branch in value[1])})"
    if op in _GROUPS:
        return _scoped(op, value, _full)
    if op in _ASSERTIONS:
        return _assertion(op, value)
    if op is ops.AT:
        return _PLACES[value]
    return _character(op, value)


def _assertion(op: Any, value: Any) -> str:
    direction, inner = value
    if direction != _BACKWARD:
        return ""
    return f"(?<{'=' if op is ops.ASSERT else '!'}{_full(list(inner))})"


def _scoped(op: Any, value: Any, write: Callable[[list[Node]], str]) -> str:
    # What an atomic group refuses to give back is tried all the same: too much, never too little.
    _, added, removed, inner = value if op is ops.SUBPATTERN else (None, 0, 0, value)
    on, off = _letters(added), _letters(removed)
    scope = f"{on}-{off}" if off else on
    return f"(?{scope}:{write(list(inner))})"


def _letters(flags: int) -> str:
    return "".join(letter for letter, flag in _FLAGS.items() if flags & flag)


def _character(op: Any, value: Any) -> str:
    if op is ops.LITERAL:
        return _escaped(value)
    if op is ops.NOT_LITERAL:
        return f"[^{_escaped(value)}]"
    if op is ops.ANY:
        return "."
    if op is ops.IN:
        return f"[{''.join(_member(*member) for member in value)}]"
    raise ValueError("a pattern that refers to its groups cannot be followed")


def _member(op: Any, value: Any) -> str:
    if op is ops.NEGATE:
        return "^"
    if op is ops.RANGE:
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    if op is ops.CATEGORY:
        return _CATEGORIES[value]
    return _escaped(value)


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"
