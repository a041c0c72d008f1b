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
    patterns = [re.compile(regex, flags) for regex in config.regexes]
    if config.words:
        patterns.insert(0, words_pattern(config.words, ignore_case=config.ignore_case))
    return SpanFilter(
        name,
        Action(config.action),
        config,
        rules=tuple(rule(name, pattern) for pattern in patterns),
        replace=lambda *_: config.replacement,
    )
