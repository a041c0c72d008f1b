"""Finding matches of rules in a text that arrives in chunks.

What is found does not depend on how the text is cut: a match counts if its first `hold_back`
characters are a match by themselves, and of two that overlap the one that begins first counts.

A bounded rule that needs more than `SEARCH_S` for a text has found all of it: an expression that
goes back and forth over a text costs one request its text, and not all requests their time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import regex
from enginehouse.gateway.content.partial import as_regex, opening

#: Of the text before, for patterns that look back.
_CONTEXT_CHARACTERS = 256
#: Seconds for the bounded rules of a scanner, each time that text arrives.
SEARCH_S = 1.0
#: What is held longer than `hold_back` is read again once it has grown by one part in so many.
_GROWTH = 8

Check = Callable[[str], int]
_Attempt = Callable[..., regex.Match[str] | None]


@dataclass(frozen=True, slots=True)
class ScanRule:
    """What is looked for.

    Attributes:
        label: names it in notes and metrics.
        opening: has a partial match from where a match of `pattern` may still be open.
        check: a match's text → how many of its characters count; 0 refuses it.
        bounded: whether a search may take `SEARCH_S` at most. The measure costs some microseconds
            a search, which patterns that are known to be linear are spared.
    """

    label: str
    pattern: regex.Pattern[str]
    opening: regex.Pattern[str]
    check: Check | None = None
    bounded: bool = False


def rule(
    label: str, pattern: re.Pattern[str], check: Check | None = None, *, bounded: bool = False
) -> ScanRule:
    """A rule for a pattern; one that others wrote is `bounded`.

    Raises:
        ValueError: if the pattern contains itself.
    """
    compiled = as_regex(pattern)
    return ScanRule(label, compiled, opening(compiled), check, bounded)


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that is decided: a match of a rule, or text without one.

    Attributes:
        rule: None for text without a match.
    """

    text: str
    rule: ScanRule | None = None


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    rule: ScanRule


def scan(rules: Sequence[ScanRule], text: str, hold_back: int) -> list[Segment]:
    """All of a text that is there already."""
    scanner = Scanner(rules, hold_back)
    return scanner.finish(text)


class _SlowRuleError(Exception):
    """A rule did not end in the time that was left."""

    def __init__(self, rule: ScanRule) -> None:
        super().__init__(rule.label)
        self.rule = rule


class Scanner:
    """Decides as early as it can; holds back what may still become a match.

    It holds more than `hold_back` characters only of what is a match already and may get longer.
    """

    def __init__(self, rules: Sequence[ScanRule], hold_back: int) -> None:
        self._rules = rules
        self._hold_back = hold_back
        self._text = ""
        self._at = 0
        self._read = 0
        self._until = 0.0

    def push(self, text: str) -> list[Segment]:
        """Add text; what is decided now, in order and without gaps."""
        self._text += text
        held = self._read - self._at
        if held > self._hold_back and (len(self._text) - self._read) * _GROWTH < held:
            return []
        return self._decide(self._open_from)

    def finish(self, text: str = "") -> list[Segment]:
        """Add the last text; all that was held back."""
        self._text += text
        return self._decide(lambda _: len(self._text))

    def _decide(self, open_from: Callable[[int], int]) -> list[Segment]:
        self._until = time.monotonic() + SEARCH_S
        try:
            segments, hold = self._decided(open_from)
        except _SlowRuleError as slow:
            segments = [Segment(self._text[self._at :], slow.rule)]
            hold = len(self._text)
        dropped = max(0, hold - _CONTEXT_CHARACTERS)
        self._text = self._text[dropped:]
        self._at = hold - dropped
        self._read = len(self._text)
        return segments

    def _decided(self, open_from: Callable[[int], int]) -> tuple[list[Segment], int]:
        """What is decided, and where that ends."""
        text, at = self._text, self._at
        segments: list[Segment] = []
        hold = open_from(at)
        for match in self._matches(at) if hold > at else ():
            if match.start >= hold:
                break
            if match.start > at:
                segments.append(Segment(text[at : match.start]))
            segments.append(Segment(text[match.start : match.end], match.rule))
            at = match.end
            if hold < at:
                hold = open_from(at)
        if hold > at:
            segments.append(Segment(text[at:hold]))
        return segments, hold

    def _matches(self, at: int) -> Iterator[_Match]:
        """Matches that do not overlap, from a place on."""
        upcoming = [self._next(rule, at) for rule in self._rules]
        while found := [match for match in upcoming if match is not None]:
            first = min(found, key=lambda match: match.start)
            yield first
            for index, match in enumerate(upcoming):
                if match is not None and match.start < first.end:
                    upcoming[index] = self._next(self._rules[index], first.end)

    def _next(self, rule: ScanRule, at: int) -> _Match | None:
        """The first match of a rule that counts, from a place on."""
        # A place behind the end would be taken for the end: `\b` matches no characters there.
        while at < len(self._text):
            if (found := self._tried(rule, rule.pattern.search, at)) is None:
                return None
            start = found.start()
            length = len(found[0]) if rule.check is None else rule.check(found[0])
            if length and self._shows_early(rule, start):
                return _Match(start, start + length, rule)
            at = start + 1
        return None

    def _shows_early(self, rule: ScanRule, start: int) -> bool:
        """Whether there is a match within the characters that may be held back."""
        end = start + self._hold_back
        if end >= len(self._text):
            return True
        return self._tried(rule, rule.pattern.match, start, end) is not None

    def _open_from(self, at: int) -> int:
        """The first place from `at` on where a match may be open; the end if there is none."""
        return min((self._open(rule, at) for rule in self._rules), default=len(self._text))

    def _open(self, rule: ScanRule, at: int) -> int:
        end = len(self._text)
        while (found := self._tried(rule, rule.opening.search, at, partial=True)) is not None:
            if (start := found.start()) == end or self._shows_early(rule, start):
                return start
            at = start + 1
        return end

    def _tried(
        self, rule: ScanRule, attempt: _Attempt, *places: int, **options: bool
    ) -> regex.Match[str] | None:
        """Search or match between places of the text, within the time that a bounded rule has."""
        if not rule.bounded:
            return attempt(self._text, *places, **options)
        left_s = max(self._until - time.monotonic(), 0.001)
        try:
            return attempt(self._text, *places, **options, timeout=left_s)
        except TimeoutError:
            raise _SlowRuleError(rule) from None
