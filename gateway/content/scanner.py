"""Finding matches of rules in a text that arrives in chunks.

What is found does not depend on how the text is cut: a match counts if its first `hold_back`
characters are a match by themselves, and of two that overlap the one that begins first counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from enginehouse.gateway.content.needed import needed_text
from enginehouse.gateway.content.partial import open_end

#: Of the text before, for patterns that look back.
_CONTEXT_CHARACTERS = 256
#: What is held longer than `hold_back` is read again once it has grown by one part in so many.
_GROWTH = 8

Check = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class ScanRule:
    """What is looked for.

    Attributes:
        label: names it in notes and metrics.
        opening: matches up to the end of a text, from where a match may still be open.
        needs: text that every match contains; it is found much faster than a match.
        check: a match's text → how many of its characters count; 0 refuses it.
    """

    label: str
    pattern: re.Pattern[str]
    opening: re.Pattern[str]
    needs: str = ""
    check: Check | None = None


def rule(label: str, pattern: re.Pattern[str], check: Check | None = None) -> ScanRule:
    """A rule for a pattern.

    Raises:
        ValueError: if the pattern refers to its own groups.
    """
    return ScanRule(label, pattern, open_end(pattern), needed_text(pattern), check)


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
        text, at = self._text, self._at
        segments: list[Segment] = []
        hold = open_from(at)
        for match in self._matches(at):
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
        dropped = max(0, hold - _CONTEXT_CHARACTERS)
        self._text = text[dropped:]
        self._at = hold - dropped
        self._read = len(self._text)
        return segments

    def _matches(self, at: int) -> Iterator[_Match]:
        """Matches that do not overlap, from a place on."""
        rules = [rule for rule in self._rules if self._text.find(rule.needs, at) >= 0]
        upcoming = [self._next(rule, at) for rule in rules]
        while found := [match for match in upcoming if match is not None]:
            first = min(found, key=lambda match: match.start)
            yield first
            for index, match in enumerate(upcoming):
                if match is not None and match.start < first.end:
                    upcoming[index] = self._next(rules[index], first.end)

    def _next(self, rule: ScanRule, at: int) -> _Match | None:
        """The first match of a rule that counts, from a place on."""
        while (found := rule.pattern.search(self._text, at)) is not None:
            start = found.start()
            length = len(found[0]) if rule.check is None else rule.check(found[0])
            if length and self._shows_early(rule, start):
                return _Match(start, start + length, rule)
            at = start + 1
        return None

    def _shows_early(self, rule: ScanRule, start: int) -> bool:
        """Whether there is a match within the characters that may be held back."""
        end = start + self._hold_back
        return end >= len(self._text) or rule.pattern.match(self._text, start, end) is not None

    def _open_from(self, at: int) -> int:
        """The first place from `at` on where a match may be open; the end if there is none."""
        return min((self._open(rule, at) for rule in self._rules), default=len(self._text))

    def _open(self, rule: ScanRule, at: int) -> int:
        end = len(self._text)
        while (found := rule.opening.search(self._text, at)) is not None and found.start() < end:
            if self._shows_early(rule, found.start()):
                return found.start()
            at = found.start() + 1
        return end
