"""Makes a call of a Messages request."""

from __future__ import annotations

import uuid
from dataclasses import replace

from enginehouse.api.call import Call
from enginehouse.api.chat import chat_call
from enginehouse.api.choices import Choices
from enginehouse.api.routing import Route
from enginehouse.api.state import ApiState
from enginehouse.gateway.messages.schemas import MessagesPrompt, MessagesRequest
from enginehouse.gateway.messages.translate import ChatConversation, chat_body, told_body
from enginehouse.gateway.translation.fitting import Prepare
from enginehouse.gateway.translation.own_names import chat_request
from starlette.requests import Request

from enginehouse.errors import ContextOverflowError


async def message_call(
    body: MessagesRequest, told: ChatConversation, request: Request, state: ApiState
) -> Call:
    """The call that answers the request; it passes all stages like a chat request.

    Raises:
        InvalidRequestError: naming a field of the chat API, see `ChatConversation.names`.
    """
    chat = chat_request(chat_body(body, told.messages), told.names)
    call = await chat_call(chat, request, state)
    call.id = f"msg_{uuid.uuid4().hex}"
    assert call.ask.prepare is not None  # noqa: S101 - text endpoints have it
    call.ask = replace(
        call.ask,
        prepare=_at_most(call.ask.prepare, body.max_tokens),
        identity={**call.ask.identity, "max_tokens": body.max_tokens},
    )
    return call


async def counting_call(
    body: MessagesPrompt, told: ChatConversation, request: Request, state: ApiState
) -> Call:
    """The call whose prompt is counted; errors as `message_call`."""
    chat = chat_request(told_body(body, told.messages), told.names)
    return await chat_call(chat, request, state)


def _at_most(prepare: Prepare, tokens: int) -> Prepare:
    """Limit the answer to `tokens`, or to the rest of the context if that is less.

    Anthropic's models treat a limit that is too large this way, and Anthropic's clients send the
    same limit to all models.
    """

    async def limited(call: Call, route: Route) -> Choices:
        try:
            choices = await prepare(call, route)
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
        return choices.limited(tokens)

    return limited


def ended_by_context(call: Call, tokens: int) -> bool:
    """Whether an answer that reached its limit ended at the end of the context.

    Args:
        tokens: the limit that the caller sent.
    """
    if call.choices is None:
        return False
    generation = call.choices.generations[0]
    return generation.prompt.max_tokens == generation.room < tokens
