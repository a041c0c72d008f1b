"""Filter `patterns`: configured words and regular expressions."""

from __future__ import annotations

import re

from enginehouse.gateway.content.config import PatternsConfig
from enginehouse.gateway.content.filters import SpanFilter
from enginehouse.gateway.content.scanner import rule
from enginehouse.gateway.content.verdicts import Action
from enginehouse.gateway.content.words import words_pattern


def patterns_filter(config: PatternsConfig) -> SpanFilter:
    """Create the filter; all its patterns form one rule."""
    name = config.name or config.type
    flags = re.IGNORECASE if config.ignore_case else re.NOFLAG
    rules = [rule(name, re.compile(regex, flags), bounded=True) for regex in config.regexes]
    if config.words:
        words = words_pattern(config.words, ignore_case=config.ignore_case)
        rules.insert(0, rule(name, words))
    return SpanFilter(
        name,
        Action(config.action),
        config,
        rules=tuple(rules),
        replace=lambda *_: config.replacement,
    )
