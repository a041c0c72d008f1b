"""Llama 3.1 to 3.3: ``{"name": …, "parameters": …}``; several calls are separated by ``;``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.text.tool_calls.base import ToolFormat, as_json
from enginehouse.text.tool_calls.deltas import CallWriter, NotACallError, Reading
from enginehouse.text.tool_calls.json_calls import call_object, space

_TAG = "<|python_tag|>"


class Llama3Json(ToolFormat):
    """The whole answer is the call; the tag in front of it is optional."""

    name = "llama3_json"
    markers = (_TAG,)
    bare = "{"
    arguments_key = "parameters"

    def matches(self, template_source: str) -> bool:
        """See `ToolFormat`."""
        return _TAG in template_source or '"parameters": dictionary' in template_source

    def read(self, calls: CallWriter) -> Reading[None]:
        """See `ToolFormat`."""
        yield from space(calls)
        yield from call_object(calls)
        while (character := (yield from calls.peek())) in {";", "\n", " ", "{"}:
            if character == "{":
                yield from call_object(calls)
            else:
                yield from calls.take()
                if (yield from space(calls)) != "{":
                    # Text follows; it is read again together with the space before it.
                    raise NotACallError

    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """See `ToolFormat`."""
        listed = "\n\n".join(as_json(tool) for tool in tools)
        return (
            "Given the following functions, please respond with a JSON for a function call with "
            "its proper arguments that best answers the given prompt.\n\n"
            'Respond in the format {"name": function name, "parameters": dictionary of argument '
            f"name and its value}}. Do not use variables.\n\n{listed}"
        )

    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """See `ToolFormat`."""
        return "; ".join(
            as_json({"name": name, "parameters": arguments}) for name, arguments in calls
        )
