"""Tool calls: prompts and parsers for each model family."""

from __future__ import annotations

from enginehouse.api.tools.base import ToolFormat
from enginehouse.api.tools.deltas import (
    ArgumentsDelta,
    CallStartDelta,
    Delta,
    TextDelta,
    ToolCallParser,
)
from enginehouse.api.tools.formats import FORMATS, tool_format
from enginehouse.api.tools.guided import guided_parser

__all__ = [
    "FORMATS",
    "ArgumentsDelta",
    "CallStartDelta",
    "Delta",
    "TextDelta",
    "ToolCallParser",
    "ToolFormat",
    "guided_parser",
    "tool_format",
]
