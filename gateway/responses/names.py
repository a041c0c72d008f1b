"""Names of chat fields in errors → names of the fields that the caller sent."""

from __future__ import annotations

from collections.abc import Sequence

from enginehouse.gateway.translation.own_names import OwnNames

_NAMES = {
    "response_format.json_schema": "text.format",
    "response_format": "text.format",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "request_output_len": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "messages": "input",
    "input_ids": "input",
    "top_logprobs": "include",
    "logprobs": "include",
    "tool_choice.function": "tool_choice",
}


def own_names(places: Sequence[str] = ()) -> OwnNames:
    """This API's field names.

    Args:
        places: for each message of the chat request, the field that it comes from.
    """
    return OwnNames(_NAMES, {}, places)
