"""Placeholders for redacted values, and their way back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from enginehouse.gateway.content.scanner import ScanRule, rule

_NUMBERED = re.compile(r"\[[A-Z_]{1,20}_\d{1,6}\]")


class PlaceholderNumbers:
    """Placeholders of one request: equal values of a kind get the same number.

    It holds the redacted values, so it must not outlive the request.
    """

    def __init__(self) -> None:
        self._of_value: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def placeholder(self, kind: str, value: str) -> str:
        """``[KIND_N]``."""
        known = self._of_value.get((kind, value))
        if known is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            known = f"[{kind.upper()}_{self._counts[kind]}]"
            self._of_value[kind, value] = known
        return known

    def copy(self) -> PlaceholderNumbers:
        """A copy that continues the numbering independently, for one answer."""
        other = PlaceholderNumbers()
        other._of_value = dict(self._of_value)
        other._counts = dict(self._counts)
        return other

    def values(self, kinds: Collection[str]) -> dict[str, str]:
        """Placeholder → its value, for some kinds, as assigned so far."""
        known = self._of_value.items()
        return {placeholder: value for (kind, value), placeholder in known if kind in kinds}


def restoring_rule(values: Mapping[str, str]) -> ScanRule:
    """A rule that finds placeholders with a value."""
    return rule("restored", _NUMBERED, lambda text: len(text) if text in values else 0)
