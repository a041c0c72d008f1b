"""Token usage in the answers of batch lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Columns of a batch → where `/v1/responses` reports the number, and where the other endpoints do.
_PLACES = {
    "input_tokens": (("input_tokens",), ("prompt_tokens",)),
    "output_tokens": (("output_tokens",), ("completion_tokens",)),
    "cached_tokens": (
        ("input_tokens_details", "cached_tokens"),
        ("prompt_tokens_details", "cached_tokens"),
    ),
    "reasoning_tokens": (
        ("output_tokens_details", "reasoning_tokens"),
        ("completion_tokens_details", "reasoning_tokens"),
    ),
}


def tokens_of(body: Mapping[str, Any]) -> dict[str, int]:
    """A batch's token columns → the numbers that this answer adds; empty if it reports none."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    found = {
        column: [value for place in places if (value := _at(usage, place))]
        for column, places in _PLACES.items()
    }
    return {column: values[0] for column, values in found.items() if values}


def _at(usage: Mapping[str, Any], place: tuple[str, ...]) -> int:
    value: Any = usage
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) else 0
