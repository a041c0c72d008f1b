"""Parser of calls under a guide: the answer is JSON and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from enginehouse.text.tool_calls.deltas import CallWriter, Reading, ToolCallParser
from enginehouse.text.tool_calls.json_calls import call_list, call_object
from enginehouse.text.tool_calls.reader import CallReader


@dataclass(frozen=True, slots=True)
class _Guided:
    bare: str
    markers: tuple[str, ...] = ()

    def read(self, calls: CallWriter) -> Reading[None]:
        if (yield from calls.peek()) == "[":
            yield from call_list(calls)
        else:
            yield from call_object(calls)


def guided_parser(
    names: Collection[str], *, parallel: bool, or_object: bool = False
) -> ToolCallParser:
    """The parser of an answer under `calls_guide`, or under `calls_or_guide` with `or_object`."""
    return CallReader(_Guided("[" if or_object else "[{"), names, parallel=parallel)
