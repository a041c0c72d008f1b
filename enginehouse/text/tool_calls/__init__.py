"""Tool calls: prompts and parsers for each model family."""

from __future__ import annotations

from enginehouse.text.tool_calls.base import ToolFormat
from enginehouse.text.tool_calls.deltas import (
    ArgumentsDelta,
    CallStartDelta,
    Delta,
    TextDelta,
    ToolCallParser,
)
from enginehouse.text.tool_calls.formats import FORMATS, tool_format
from enginehouse.text.tool_calls.guided import guided_parser

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
