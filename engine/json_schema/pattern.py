"""Parses regular expressions of ECMA-262; syntax that a grammar cannot express is refused.

That is: lookarounds, word boundaries, back references and inline flags. Errors name the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from enginehouse.engine.json_schema.charset import (
    ANY,
    DIGIT,
    DOT,
    NOTHING,
    SPACE,
    WORD,
    CharSet,
    category,
)
from enginehouse.engine.json_schema.refusal import SchemaRefusedError

MAX_CHARACTERS = 8_192
_MAX_DEPTH = 100
_MAX_COUNT = 100_000


class Anchor(Enum):
    """`^` or `$`, the begin and the end of the whole string."""

    BEGIN = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    chars: CharSet


@dataclass(frozen=True, slots=True)
class Sequence:
    """A concatenation; without parts it is the empty string."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """An alternation."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part repeated `least` to `most` times; None means no upper limit."""

    part: Node
    least: int
    most: int | None


Node = Chars | Sequence | Choice | Repeat | Anchor

_CLASSES = {
    "d": DIGIT, "D": DIGIT.complement(), "w": WORD, "W": WORD.complement(),
    "s": SPACE, "S": SPACE.complement(),
}  # fmt: skip
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "v": "\v", "f": "\f"}
_HEX_DIGITS = {"x": 2, "u": 4}


def parse(text: str) -> Node:
    """Parse a pattern.

    Raises:
        SchemaRefusedError: if it is invalid or cannot be enforced; names the position.
    """
    if len(text) > MAX_CHARACTERS:
        raise SchemaRefusedError(
            f"the pattern has {len(text)} characters, {MAX_CHARACTERS} are allowed"
        )
    reader = _Reader(text)
    node = reader.choice(0)
    if not reader.ended():
        raise reader.refused("')' closes nothing")
    return node


class _Reader:
    """A recursive-descent parser of patterns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def ended(self) -> bool:
        return self._at >= len(self._text)

    def refused(self, message: str) -> SchemaRefusedError:
        return SchemaRefusedError(f"{message} (position {self._at + 1} of the pattern)")

    def choice(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self.refused(f"groups are nested deeper than {_MAX_DEPTH} levels")
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.ended() and self._peek() not in "|)":
            parts.append(self._quantified(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, node: Node) -> Node:
        counts = self._quantifier()
        if counts is None:
            return node
        if isinstance(node, Anchor):
            raise self.refused("nothing to repeat")
        self._take("?")  # a lazy quantifier matches the same strings
        if self._quantifier() is not None:
            raise self.refused("two quantifiers stand together")
        return Repeat(node, *counts)

    def _quantifier(self) -> tuple[int, int | None] | None:
        if self.ended():
            return None
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._peek())
        if simple is not None:
            self._at += 1
            return simple
        return self._counts()

    def _counts(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; other braces are characters (ECMA-262, annex B.1.2)."""
        if self._peek() != "{":
            return None
        end = self._text.find("}", self._at)
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if end < 0 or not _number(least) or (most and not _number(most)):
            return None
        low, high = int(least), int(most) if most else (None if comma else int(least))
        if high is not None and high < low:
            raise self.refused(f"the counts {low} and {high} are out of order")
        if max(low, high or 0) > _MAX_COUNT:
            raise self.refused(f"a count is above {_MAX_COUNT}")
        self._at = end + 1
        return low, high

    def _atom(self, depth: int) -> Node:
        character = self._next()
        match character:
            case "(":
                return self._group(depth)
            case "[":
                return Chars(self._class())
            case ".":
                return Chars(DOT)
            case "^":
                return Anchor.BEGIN
            case "$":
                return Anchor.END
            case "\\":
                return Chars(self._escape(in_class=False))
            case "*" | "+" | "?":
                raise self.refused("nothing to repeat")
            case _:
                return Chars(CharSet.of(character))

    def _group(self, depth: int) -> Node:
        if self._take("?"):
            kind = self._next()
            if kind == "<" and not self.ended() and self._peek() not in "=!":
                end = self._text.find(">", self._at)
                if end < 0:
                    raise self.refused("a group's name does not end")
                self._at = end + 1
            elif kind != ":":
                raise self.refused("lookarounds and flags cannot be kept by a grammar")
        node = self.choice(depth + 1)
        if not self._take(")"):
            raise self.refused("a '(' is not closed")
        return node

    def _class(self) -> CharSet:
        negated = self._take("^")
        found = NOTHING
        while not self._take("]"):
            if self.ended():
                raise self.refused("a '[' is not closed")
            low = self._class_atom()
            if self._ahead(2)[:1] == "-" and self._ahead(2)[1:] not in {"]", ""}:
                self._at += 1
                high = self._class_atom()
                low = self._span(low, high)
            found |= low
        return ANY - found if negated else found & ANY

    def _span(self, low: CharSet, high: CharSet) -> CharSet:
        first, last = _single(low), _single(high)
        if first is None or last is None:
            raise self.refused("a range ends in a class")
        if last < first:
            raise self.refused("the ends of a range are out of order")
        return CharSet.of((first, last)) & ANY

    def _class_atom(self) -> CharSet:
        character = self._next()
        return self._escape(in_class=True) if character == "\\" else CharSet.of(character)

    def _escape(self, *, in_class: bool) -> CharSet:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return CharSet.of(_CONTROLS[character])
        if character in _HEX_DIGITS:
            return CharSet.of(self._code_point(_HEX_DIGITS[character]))
        if character in "pP":
            return self._property(negated=character == "P")
        if character == "c" and self._ahead(1).isalpha():
            return CharSet.of(ord(self._next()) % 32)
        if character == "b" and in_class:
            return CharSet.of("\b")
        if character == "0" and not self._ahead(1).isdigit():
            return CharSet.of(0)
        if character.isalnum() or character == "_":
            raise self.refused(f"the escape '\\{character}' cannot be kept by a grammar")
        return CharSet.of(character)

    def _code_point(self, digits: int) -> int:
        if digits == _HEX_DIGITS["u"] and self._take("{"):
            end = self._text.find("}", self._at)
            point = self._hex(self._text[self._at : end] if end > 0 else "")
            self._at = end + 1
            return point
        point = self._hex(self._text[self._at : self._at + digits], digits)
        self._at += digits
        if 0xD800 <= point < 0xDC00 and self._text[self._at : self._at + 2] == "\\u":  # noqa: PLR2004
            low = self._hex(self._text[self._at + 2 : self._at + 6], 4)
            if 0xDC00 <= low < 0xE000:  # noqa: PLR2004
                self._at += 6
                return 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
        return point

    def _hex(self, text: str, digits: int = 0) -> int:
        try:
            point = int(text, 16)
        except ValueError:
            point = -1
        if not 0 <= point <= 0x10FFFF or (digits and len(text) != digits):  # noqa: PLR2004
            raise self.refused(f"{text[:8]!r} is not a code point in hexadecimal digits")
        return point

    def _property(self, *, negated: bool) -> CharSet:
        end = self._text.find("}", self._at)
        if not self._take("{") or end < 0:
            raise self.refused("a property has no name in braces")
        name = self._text[self._at : end].removeprefix("General_Category=").removeprefix("gc=")
        self._at = end + 1
        found = category(name)
        if found is None:
            raise self.refused(f"the property {name[:40]!r} is not a general category of Unicode")
        return found.complement() if negated else found

    def _ahead(self, count: int) -> str:
        return self._text[self._at : self._at + count]

    def _peek(self) -> str:
        return self._text[self._at]

    def _next(self) -> str:
        if self.ended():
            raise self.refused("the pattern ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, expected: str) -> bool:
        if self._text.startswith(expected, self._at):
            self._at += 1
            return True
        return False


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004


def _single(chars: CharSet) -> int | None:
    if len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]:
        return chars.ranges[0][0]
    return None
