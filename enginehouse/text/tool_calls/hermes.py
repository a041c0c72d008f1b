"""Hermes, Qwen, SmolLM: ``<tool_call>{"name": …, "arguments": …}</tool_call>``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.text.tool_calls.base import ToolFormat, as_json
from enginehouse.text.tool_calls.deltas import CallWriter, Reading
from enginehouse.text.tool_calls.json_calls import call_list, call_object, expect, space

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


class Hermes(ToolFormat):
    """One call for each tag; several objects or a list in one tag are accepted too."""

    name = "hermes"
    markers = (_OPEN,)

    def matches(self, template_source: str) -> bool:
        """See `ToolFormat`."""
        return _OPEN in template_source

    def read(self, calls: CallWriter) -> Reading[None]:
        """See `ToolFormat`."""
        yield from space(calls)
        if (yield from calls.peek()) == "[":
            yield from call_list(calls)
        else:
            yield from call_object(calls)
        while (yield from space(calls)) == "{":
            yield from call_object(calls)
        # A model that ends its answer without closing the tag has still made the call.
        yield from expect(calls, _CLOSE)

    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """See `ToolFormat`."""
        listed = "\n".join(as_json(tool) for tool in tools)
        return (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments "
            f"within {_OPEN}{_CLOSE} XML tags:\n"
            f'{_OPEN}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{_CLOSE}'
        )

    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """See `ToolFormat`."""
        return "\n".join(
            f"{_OPEN}\n{as_json({'name': name, 'arguments': arguments})}\n{_CLOSE}"
            for name, arguments in calls
        )

    def result(self, name: str | None, content: str) -> str:
        """See `ToolFormat`; this family's templates do not name the tool."""
        del name
        return f"<tool_response>\n{content}\n</tool_response>"
