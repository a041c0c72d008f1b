"""A conversation → the token ids of its prompt, with tools and with what the template may read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.api.call import Call
from enginehouse.api.reasoning import splitter_of
from enginehouse.api.revision import Revision
from enginehouse.api.tools import ToolFormat, tool_format
from enginehouse.api.tools.conversation import for_template, has_tools, in_words

from enginehouse.errors import InvalidRequestError
from enginehouse.text import ChatTemplate

#: Call.notes: the format that a model's settings name.
FORMAT_NOTE = "tool_format"
_LONG_TEXT = 4096
_TOOL_TEXT = 512


def spoken_format(call: Call, template: ChatTemplate) -> ToolFormat:
    """The tool format of the model that answers.

    Raises:
        SettingsError: if the model's settings name none that there is.
    """
    named = call.notes.get(FORMAT_NOTE)
    return tool_format(template.source, None if named is None else str(named))


async def conversation_ids(
    revision: Revision,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    spoken: ToolFormat,
    variables: Mapping[str, Any],
) -> list[int]:
    """Token ids of a conversation, ending where the assistant begins to speak.

    Raises:
        InvalidRequestError: if the template refuses the conversation.
    """
    template = revision.template

    def encode() -> list[int]:
        shown, known = list(messages), list(tools)
        if known or has_tools(shown):
            if not template.knows_tools:
                return template.encode(in_words(shown, known, spoken), variables=variables)
            shown = for_template(shown, spoken)
        return template.encode(shown, tools=known or None, variables=variables)

    # Short prompts take less time here than a thread switch would.
    size = sum(len(m["content"]) for m in messages) + _TOOL_TEXT * len(tools)
    return await asyncio.to_thread(encode) if size > _LONG_TEXT else encode()


def effort_variables(template: ChatTemplate, effort: str | None) -> dict[str, Any]:
    """What `reasoning_effort` means to a template.

    Raises:
        InvalidRequestError: if it can mean nothing to it.
    """
    if effort is None:
        return {}
    values = {"reasoning_effort": effort, "enable_thinking": effort != "none"}
    found = {name: value for name, value in values.items() if name in template.variables}
    # A model that never reasons does what "none" asks for.
    if not found and (effort != "none" or splitter_of(template) is not None):
        raise InvalidRequestError(
            f"reasoning_effort is {effort!r}, and this model has no such setting: leave it out",
            field="reasoning_effort",
        )
    return found
