"""Truncates a conversation to the model's context, for APIs that promise it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from enginehouse.api.call import Answered, Routed, Shape, TextCall, TextForm
from enginehouse.api.choices import Choices

from enginehouse.errors import ContextOverflowError

Messages = list[dict[str, Any]]
#: Fraction of the context (1/8) that is kept free for an answer without a limit of its own.
_ANSWER_SHARE = 8


@dataclass(frozen=True, slots=True)
class DroppingOldest:
    """A request, with as few of the oldest messages left out as it takes to fit the context.

    System messages and the last message stay. Results of a call are dropped together with the call.
    The rest begins with a user's message if there is one, since most templates require that. If
    nothing fits, the conversation is prepared without all droppable messages and rejected as usual.
    """

    form: TextForm

    async def choices(self, routed: Routed) -> Choices:
        """See `TextForm`."""
        messages = routed.call.messages
        starts = _starts(messages)

        async def shortened(dropped: int) -> Choices | None:
            try:
                choices = await self._prepared(routed, _behind(messages, starts, dropped))
            except ContextOverflowError:
                return None
            return choices if _fits(choices) else None

        best, least, most = await shortened(0), 1, len(starts) - 1
        if best is not None:
            return best
        while least <= most:
            middle = (least + most) // 2
            found = await shortened(middle)
            if found is None:
                least = middle + 1
            else:
                best, most = found, middle - 1
        if best is not None:
            return await shortened(_at_a_user(messages, starts, least)) or best
        return await self._prepared(routed, _behind(messages, starts, len(starts) - 1))

    def shape(self, call: TextCall, answered: Answered) -> Shape:
        """See `TextForm`."""
        return self.form.shape(call, answered)

    async def _prepared(self, routed: Routed, messages: Messages) -> Choices:
        shown = replace(routed.call, messages=messages)
        return await self.form.choices(replace(routed, call=shown))


def _starts(messages: Messages) -> list[int]:
    """Indexes at which a unit begins that is dropped as a whole.

    A message, or a call with results.
    """
    return [
        place
        for place, message in enumerate(messages)
        if message["role"] not in {"system", "developer", "tool"}
    ]


def _behind(messages: Messages, starts: Sequence[int], dropped: int) -> Messages:
    """System messages, and the messages from a start on."""
    if dropped <= 0:
        return messages
    first = starts[dropped]
    return [
        message
        for place, message in enumerate(messages)
        if place >= first or message["role"] in {"system", "developer"}
    ]


def _at_a_user(messages: Messages, starts: Sequence[int], dropped: int) -> int:
    """The first start from `dropped` on that is a user's message; `dropped` if there is none."""
    users = (i for i in range(dropped, len(starts)) if messages[starts[i]]["role"] == "user")
    return next(users, dropped)


def _fits(choices: Choices) -> bool:
    """Whether prompt and answer fit the context together."""
    prompt = choices.generations[0].prompt
    context = choices.revision.manifest.context_length
    wanted = context // _ANSWER_SHARE if prompt.max_tokens is None else prompt.max_tokens
    return len(prompt.ids) + wanted <= context
