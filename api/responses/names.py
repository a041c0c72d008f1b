"""Fields of the chat API in errors → the fields of the request that a caller of this API sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from enginehouse.errors import InvalidRequestError

#: The chat API's names, and the engine's → those of this API; a longer name before its beginning.
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
#: Those of them that are no common words, where a sentence has them.
_IN_SENTENCES = re.compile(
    r"\b(response_format|max_completion_tokens|max_tokens|reasoning_effort)\b"
)
_MESSAGE = re.compile(r"messages\[(\d+)\](.*)")
_TOOL = re.compile(r"(tools\[\d+\])\.function\b")


def own_field(field: str | None, places: Sequence[str] = ()) -> str | None:
    """This API's name of a field of the chat API.

    Args:
        places: for each message of the chat request the field that it was made of.
    """
    if field is None:
        return None
    message = _MESSAGE.fullmatch(field)
    if message is not None and int(message[1]) < len(places):
        # A call is an item of its own here.
        rest = "" if message[2].startswith(".tool_calls") else message[2]
        return places[int(message[1])] + rest
    for chat, own in _NAMES.items():
        rest = field.removeprefix(chat)
        if rest != field and rest[:1] in {"", ".", "["}:
            return own + rest
    return _TOOL.sub(r"\1", field)


@contextmanager
def own_names(places: Sequence[str] = ()) -> Iterator[None]:
    """Have errors name the fields of this API, not the chat API's."""
    try:
        yield
    except InvalidRequestError as error:
        error.field = own_field(error.field, places)
        error.args = (_IN_SENTENCES.sub(lambda found: _NAMES[found[0]], str(error)),)
        raise
