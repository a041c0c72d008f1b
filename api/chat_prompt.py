"""A conversation → the token ids of its prompt, with tools and with what the template may read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.call import Call
from enginehouse.api.messages import ChatForm
from enginehouse.api.revision import Revision
from enginehouse.api.tools.conversation import for_template, has_tools, in_words

from enginehouse.errors import InvalidRequestError
from enginehouse.text import ChatTemplate, PromptEnding
from enginehouse.text.chat_template import RESERVED
from enginehouse.text.reasoning import splitter_of
from enginehouse.text.tool_calls import ToolFormat, tool_format

_LONG_TEXT = 4096
_TOOL_TEXT = 512


@dataclass(frozen=True, slots=True)
class Form:
    """How a prompt is written, beside its messages.

    Attributes:
        variables: what the template may read, by name.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    ending: PromptEnding = PromptEnding.ANSWER

    def encode(
        self,
        template: ChatTemplate,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """See `ChatTemplate.encode`."""
        return template.encode(messages, tools=tools, variables=self.variables, ending=self.ending)


def form_of(body: ChatForm, variables: Mapping[str, Any]) -> Form:
    """How a request wants its prompt; `variables` are those of its other fields.

    Raises:
        InvalidRequestError: if its fields do not go together.
    """
    given = body.chat_template_kwargs or {}
    for name in sorted(RESERVED & given.keys()):
        raise InvalidRequestError(
            f"chat_template_kwargs names {name!r}, which is not the caller's to give: leave it out",
            field="chat_template_kwargs",
        )
    begins = body.add_generation_prompt is not False
    ending = PromptEnding.ANSWER if begins else PromptEnding.MESSAGES
    if body.continues:
        _check_continued(body)
        ending = PromptEnding.OPEN
    return Form({**variables, **given}, ending)


def _check_continued(body: ChatForm) -> None:
    if body.add_generation_prompt:
        raise InvalidRequestError(
            "add_generation_prompt is true, but continue_final_message has the answer go on where "
            "the last message ends: leave one of them out",
            field="add_generation_prompt",
        )
    last = body.messages[-1] if body.messages else None
    if last is None or last.role != "assistant" or not last.text or last.calls:
        raise InvalidRequestError(
            "there is no text to continue: the last message must be of role 'assistant', with text "
            "and without tool_calls",
            field="messages",
        )


def spoken_format(call: Call, template: ChatTemplate) -> ToolFormat:
    """The tool format of the model that answers.

    Raises:
        SettingsError: if the model's settings name none that there is.
    """
    return tool_format(template.source, call.defaults.tool_format)


async def conversation_ids(
    revision: Revision,
    messages: Sequence[dict[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    spoken: ToolFormat,
    form: Form,
) -> list[int]:
    """Token ids of a conversation.

    Raises:
        InvalidRequestError: if the template refuses the conversation.
    """
    template = revision.template

    def encode() -> list[int]:
        shown, known = list(messages), list(tools)
        if known or has_tools(shown):
            if not template.knows_tools:
                return form.encode(template, in_words(shown, known, spoken))
            shown = for_template(shown, spoken)
        return form.encode(template, shown, known or None)

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
