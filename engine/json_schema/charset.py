"""Character sets as sorted, disjoint ranges of Unicode scalar values."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

Range = tuple[int, int]

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class CharSet:
    """Ranges of code points, both ends included, sorted, disjoint and not adjacent."""

    ranges: tuple[Range, ...] = ()

    @staticmethod
    def of(*parts: str | int | Range) -> CharSet:
        """The union of characters (of a string), code points and ranges."""
        ranges: list[Range] = []
        for part in parts:
            if isinstance(part, str):
                ranges += [(ord(character), ord(character)) for character in part]
            elif isinstance(part, int):
                ranges.append((part, part))
            else:
                ranges.append(part)
        return CharSet(_merged(ranges))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, character: str) -> bool:
        point = ord(character)
        return any(low <= point <= high for low, high in self.ranges)

    def __or__(self, other: CharSet) -> CharSet:
        return CharSet(_merged([*self.ranges, *other.ranges]))

    def __and__(self, other: CharSet) -> CharSet:
        found, left, right = [], 0, 0
        while left < len(self.ranges) and right < len(other.ranges):
            low = max(self.ranges[left][0], other.ranges[right][0])
            high = min(self.ranges[left][1], other.ranges[right][1])
            if low <= high:
                found.append((low, high))
            if self.ranges[left][1] < other.ranges[right][1]:
                left += 1
            else:
                right += 1
        return CharSet(tuple(found))

    def __sub__(self, other: CharSet) -> CharSet:
        return self & other.complement()

    def complement(self) -> CharSet:
        """All Unicode scalar values outside the set. Surrogates are never part of a set."""
        taken = _merged([*self.ranges, _SURROGATES])
        free, start = [], 0
        for low, high in taken:
            if start < low:
                free.append((start, low - 1))
            start = high + 1
        if start <= _LAST:
            free.append((start, _LAST))
        return CharSet(tuple(free))


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


NOTHING = CharSet()
ANY = NOTHING.complement()
# The sets of ECMA-262, which JSON Schema prescribes for patterns (JSON Schema core, 6.4).
DIGIT = CharSet.of((0x30, 0x39))
WORD = DIGIT | CharSet.of((0x41, 0x5A), (0x61, 0x7A), "_")
SPACE = CharSet.of(
    (0x09, 0x0D), 0x20, 0xA0, 0x1680, (0x2000, 0x200A), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
    0xFEFF,
)  # fmt: skip
LINE_ENDS = CharSet.of("\n\r\u2028\u2029")
DOT = ANY - LINE_ENDS

_CATEGORIES = {
    "Letter": "L", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Number": "N",
    "Decimal_Number": "Nd", "digit": "Nd", "Punctuation": "P", "punct": "P", "Symbol": "S",
    "Separator": "Z", "Space_Separator": "Zs", "Other": "C", "Control": "Cc",
}  # fmt: skip


@functools.lru_cache(maxsize=16)
def category(name: str) -> CharSet | None:
    r"""The characters of a general category, as in `\p{L}`; None if the name is unknown."""
    code = _CATEGORIES.get(name, name)
    if len(code) > 2 or code[:1] not in set("LMNPSZC"):  # noqa: PLR2004
        return None
    points = [
        point
        for point in range(_LAST + 1)
        if unicodedata.category(chr(point)).startswith(code)
        and not _SURROGATES[0] <= point <= _SURROGATES[1]
    ]
    found = CharSet(_merged((point, point) for point in points))
    return found or None
