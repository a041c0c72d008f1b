"""Routes of Anthropic's Messages API, `/v1/messages`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import orjson
from enginehouse.api.answer import shape_of
from enginehouse.api.call import Call
from enginehouse.api.generation import Piece, Usage
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import State
from enginehouse.api.streaming import EventStream, primed, until_disconnect
from enginehouse.gateway.messages.asking import counting_call, ended_by_context, message_call
from enginehouse.gateway.messages.documented import CountedTokens, MessageBody, MessagesErrorBody
from enginehouse.gateway.messages.errors import OVERLOADED, ROOT, stream_error
from enginehouse.gateway.messages.events import MessageEnding, MessageWriter
from enginehouse.gateway.messages.schemas import MessagesPrompt, MessagesRequest
from enginehouse.gateway.messages.translate import ChatConversation
from enginehouse.gateway.translation.counting import counted_tokens
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enginehouse.errors import EnginehouseError

router = APIRouter(route_class=JsonRoute)
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {**described, "model": MessagesErrorBody}
    for status, described in error_responses().items()
    if status != HTTPStatus.SERVICE_UNAVAILABLE
} | {OVERLOADED: {"model": MessagesErrorBody, "description": "No version can answer now."}}
_ANSWERED: dict[str, Any] = {
    "model": MessageBody,
    "description": "The message. With `stream`, server-sent events, each named by its type: "
    "`message_start`, `ping`, then for each block `content_block_start`, `content_block_delta` and "
    "`content_block_stop`, at last `message_delta` and `message_stop`; an error after the start is "
    "an event `error`, and nothing follows it.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


@router.post(ROOT, response_model=None, responses={200: _ANSWERED, **_ERRORS})
async def create_message(body: MessagesRequest, request: Request, state: State) -> Response:
    """Answer a conversation."""
    told = ChatConversation.of(body)
    with told.names.in_errors():
        call = await message_call(body, told, request, state)
        request.state.response_headers = call.response_headers
        pieces = state.pipeline(call)
        if body.stream:
            begun = await until_disconnect(request.receive, primed(pieces))
            events = _events(begun, call, body.max_tokens)
            return MessageStream(events, call.response_headers)
        message = await until_disconnect(request.receive, _whole(pieces, call, body.max_tokens))
    return JSONResponse(message, headers=call.response_headers)


@router.post(
    f"{ROOT}/count_tokens",
    response_model=None,
    responses={200: {"model": CountedTokens}, **_ERRORS},
)
async def count_tokens(body: MessagesPrompt, request: Request, state: State) -> Response:
    """Count the prompt tokens of a request without answering it."""
    told = ChatConversation.of(body)
    with told.names.in_errors():
        call = await counting_call(body, told, request, state)
        count = await counted_tokens(call, request, state)
    return JSONResponse({"input_tokens": count}, headers=call.response_headers)


class MessageStream(EventStream):
    """Server-sent events; an error in the middle of the stream is sent as an event."""

    done = b""


def _sse(event: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


async def _whole(
    pieces: AsyncGenerator[Piece, None], call: Call, most_tokens: int
) -> dict[str, Any]:
    """The message of an answer that is not streamed.

    Raises:
        ServingError: if the call fails.
    """
    writer: MessageWriter | None = None
    shape, stop = None, None
    async with aclosing(pieces):
        async for piece in pieces:
            if writer is None or shape is None:
                writer, shape = _writer(call), shape_of(call)
            stop = piece.stop or stop
            for choice in shape.delta(piece):
                writer.choice(choice)
    assert writer is not None  # noqa: S101 - a call without a piece has failed
    writer.finish(_ending(call, stop, most_tokens), _usage(call, call.usage))
    return writer.message


async def _events(
    pieces: AsyncGenerator[Piece, None], call: Call, most_tokens: int
) -> AsyncGenerator[bytes, None]:
    writer, shape, stop = _writer(call), shape_of(call), None
    async with aclosing(pieces):
        yield b"".join(map(_sse, writer.begin()))
        try:
            async for piece in pieces:
                stop = piece.stop or stop
                said = [event for one in shape.delta(piece) for event in writer.choice(one)]
                if said:
                    yield b"".join(map(_sse, said))
        except EnginehouseError as error:
            yield _sse(stream_error(error, call.request_id))
            return
    ends = writer.finish(_ending(call, stop, most_tokens), _usage(call, call.usage))
    yield b"".join(map(_sse, ends))


def _writer(call: Call) -> MessageWriter:
    """The writer of a call whose first chunk has arrived."""
    assert call.served_by is not None  # noqa: S101 - its first piece is there
    known = call.usage if call.choices is None else call.choices.usage
    return MessageWriter(call.id, call.served_by.model, _usage(call, Usage(known.prompt_tokens)))


def _ending(call: Call, stop: str | None, most_tokens: int) -> MessageEnding:
    return MessageEnding(stop, context=ended_by_context(call, most_tokens))


def _usage(call: Call, usage: Usage) -> dict[str, Any]:
    """`usage` with this API's field names.

    Cached prompt tokens are not counted as input tokens there.
    """
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "priority" if served_tier(call) == "priority" else "standard",
    }
