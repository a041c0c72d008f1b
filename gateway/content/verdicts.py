"""Records what the filters of one call found, in its notes and in metrics, without any text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from enginehouse.api.call import Call
from enginehouse.gateway.content.metrics import ContentMetrics

NOTE = "content"
_PLAIN = re.compile(r"[A-Za-z0-9_/.-]{1,40}")
_MOST_CATEGORIES = 16


class ContentSide(StrEnum):
    """Where a text comes from."""

    INPUT = "input"
    OUTPUT = "output"


class Action(StrEnum):
    """What a filter does with a match."""

    BLOCK = "block"
    REDACT = "redact"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class JudgeVerdict:
    """What a judge says of a text.

    Attributes:
        categories: the judge's names for what it found.
        failed: there is no verdict, and `flagged` follows from the configuration.
    """

    flagged: bool
    categories: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class VerdictRecorder:
    """Writes down what was found.

    `Call.findings` gets ``{"input": {RULE: {"action", "count"}}, "output": …,
    "blocked_by": RULE}``, and ``"failed": [RULE, …]`` for filters that gave no
    verdict; keys without content are left out.
    """

    call: Call
    metrics: ContentMetrics

    def found(self, side: ContentSide, rule: str, action: Action, count: int = 1) -> None:
        """A rule found so many things."""
        self.metrics.verdicts.labels(side, rule, action).inc(count)
        rules = self._note.setdefault(side.value, {})
        entry = rules.setdefault(rule, {"action": action.value, "count": 0})
        entry["count"] += count
        if action is Action.BLOCK:
            self._note["blocked_by"] = rule

    def judged(self, side: ContentSide, rule: str, action: Action, verdict: JudgeVerdict) -> None:
        """A judge has read a text."""
        if verdict.failed:
            self.failed(side, rule)
        if verdict.flagged and not (verdict.failed and action is Action.FLAG):
            self.found(side, rule, action)
            self._categories(side, rule, verdict.categories)

    def _categories(self, side: ContentSide, rule: str, names: tuple[str, ...]) -> None:
        """What a judge calls it; only plain short names, since a service could send anything."""
        if not names:
            return
        known = self._note[side.value][rule].setdefault("categories", [])
        plain = (name for name in names if _PLAIN.fullmatch(name) and name not in known)
        known.extend(islice(plain, _MOST_CATEGORIES - len(known)))

    def failed(self, side: ContentSide, rule: str) -> None:
        """A filter gave no verdict."""
        self.metrics.failures.labels(side, rule).inc()
        failed = self._note.setdefault("failed", [])
        if rule not in failed:
            failed.append(rule)

    @property
    def _note(self) -> dict[str, Any]:
        note: dict[str, Any] = self.call.findings.setdefault(NOTE, {})
        return note
