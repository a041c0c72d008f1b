"""Makes a call of a Messages request."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

from enginehouse.api.call import Answered, Routed, Shape, TextCall, TextForm
from enginehouse.api.chat import chat_call
from enginehouse.api.choices import Choices
from enginehouse.api.state import ApiState
from enginehouse.gateway.messages.schemas import MessagesPrompt, MessagesRequest
from enginehouse.gateway.messages.translate import ChatConversation, chat_body, told_body
from enginehouse.gateway.translation.own_names import chat_request
from starlette.requests import Request

from enginehouse.errors import ContextOverflowError


def message_call(
    body: MessagesRequest, told: ChatConversation, request: Request, state: ApiState
) -> TextCall:
    """The call that answers; it goes through the stages as any chat request.

    Raises:
        InvalidRequestError: naming a field of the chat API, see `ChatConversation.names`.
    """
    chat = chat_request(chat_body(body, told.messages), told.names)
    call = chat_call(chat, request, state)
    call.id = f"msg_{uuid.uuid4().hex}"
    call.form = _AtMost(call.form, body.max_tokens)
    identity = {**call.ask.identity, "max_tokens": body.max_tokens}
    call.ask = replace(call.ask, identity=identity)
    return call


def counting_call(
    body: MessagesPrompt, told: ChatConversation, request: Request, state: ApiState
) -> TextCall:
    """The call whose prompt is to be counted; errors as `message_call`."""
    return chat_call(chat_request(told_body(body, told.messages), told.names), request, state)


@dataclass(frozen=True, slots=True)
class _AtMost:
    """A request, limited to some tokens or to what the context has left, if that is less.

    Anthropic's models treat a limit that is too large this way, and Anthropic's clients send the
    same limit to all models.
    """

    form: TextForm
    tokens: int

    async def choices(self, routed: Routed) -> Choices:
        """See `TextForm`."""
        try:
            choices = await self.form.choices(routed)
        except ContextOverflowError as error:
            if not error.prompt_tokens:
                raise
            raise ContextOverflowError(
                # Clients of Anthropic's API match the first half of the message, clients of
                # OpenAI's API the second.
                f"prompt is too long: {error.prompt_tokens} tokens > {error.context} maximum; "
                f"this model's maximum context length is {error.context} tokens",
                prompt_tokens=error.prompt_tokens,
                context=error.context,
            ) from None
        return choices.limited(self.tokens)

    def shape(self, call: TextCall, answered: Answered) -> Shape:
        """See `TextForm`."""
        return self.form.shape(call, answered)


def ended_by_context(answered: Answered, tokens: int) -> bool:
    """Whether an answer that reached its limit reached the end of the context.

    Args:
        tokens: the limit that the caller sent.
    """
    if answered.choices is None:
        return False
    generation = answered.choices.generations[0]
    return generation.prompt.max_tokens == generation.room < tokens
