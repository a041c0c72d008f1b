"""Filter `pii`: personal data and secrets that have a recognizable form."""

from __future__ import annotations

from enginehouse.gateway.content.config import PiiConfig
from enginehouse.gateway.content.filters import SpanFilter
from enginehouse.gateway.content.kinds import rules_of
from enginehouse.gateway.content.placeholders import PlaceholderNumbers
from enginehouse.gateway.content.verdicts import Action


def pii_filter(config: PiiConfig) -> SpanFilter:
    """Create the filter, with a rule for each form of each kind."""
    numbered = config.placeholders == "numbered"
    return SpanFilter(
        config.name or config.type,
        Action(config.action),
        config,
        rules=rules_of(frozenset(config.kinds)),
        replace=_numbered if numbered else _plain,
        restores=config.restore,
    )


def _plain(kind: str, _: str, __: PlaceholderNumbers) -> str:
    return f"[{kind.upper()}]"


def _numbered(kind: str, value: str, numbers: PlaceholderNumbers) -> str:
    return numbers.placeholder(kind, value)
