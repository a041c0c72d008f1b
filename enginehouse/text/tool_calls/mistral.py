"""Mistral: ``[TOOL_CALLS][{"name": …, "arguments": …}]``, and newer ``[TOOL_CALLS]name{…}``."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from enginehouse.text.tool_calls.base import ToolFormat, as_json
from enginehouse.text.tool_calls.deltas import END, CallWriter, NotACallError, Reading
from enginehouse.text.tool_calls.json_calls import arguments, call_list, expect, space

_OPEN = "[TOOL_CALLS]"
_NAME = re.compile(r"[\w.-]")
_OWN_ID = re.compile(r"[A-Za-z0-9]{9}")


class Mistral(ToolFormat):
    """The markers are control tokens, which decoded text usually lacks, so they are optional.

    Without a marker calls are recognized only at the start of an answer: a list of calls, or a
    tool's name with its arguments.
    """

    name = "mistral"
    markers = (_OPEN,)
    bare = "[_" + string.ascii_letters + string.digits

    def matches(self, template_source: str) -> bool:
        """See `ToolFormat`."""
        return _OPEN in template_source

    def read(self, calls: CallWriter) -> Reading[None]:
        """See `ToolFormat`."""
        if (yield from space(calls)) == "[":
            yield from call_list(calls)
            return
        yield from _named(calls)
        while _NAME.fullmatch((yield from calls.peek())):
            yield from _named(calls)

    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """See `ToolFormat`."""
        return (
            f"You may call these functions:\n{as_json(list(tools))}\n\nTo call some, answer with "
            f'{_OPEN} and a JSON list alone: {_OPEN}[{{"name": function name, "arguments": '
            "object of arguments}]"
        )

    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """See `ToolFormat`."""
        return _OPEN + as_json(
            [{"name": name, "arguments": arguments_} for name, arguments_ in calls]
        )

    def call_id(self, given: str) -> str:
        """Nine letters and digits, the only form that this family's templates accept."""
        if _OWN_ID.fullmatch(given):
            return given
        return blake2b(given.encode(), digest_size=5).hexdigest()[:9]


def _named(calls: CallWriter) -> Reading[None]:
    """Read ``name{…}``."""
    name = ""
    while _NAME.fullmatch((yield from calls.peek())):
        name += yield from calls.take()
    if (yield from space(calls)) == "[":
        yield from _between(calls)
    if (yield from calls.peek()) != "{":
        raise NotACallError
    yield from arguments(calls, name)


def _between(calls: CallWriter) -> Reading[None]:
    """Read ``[ARGS]``, or ``[CALL_ID]…[ARGS]``."""
    yield from expect(calls, "[")
    if (yield from calls.peek()) == "C":
        yield from expect(calls, "CALL_ID]")
        while (character := (yield from calls.take())) != "[":
            if character == END:
                raise NotACallError
    yield from expect(calls, "ARGS]")
    yield from space(calls)
