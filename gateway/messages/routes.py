"""Routes of Anthropic's Messages API, `/v1/messages`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from enginehouse.api.begun import begin
from enginehouse.api.call import TextCall
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.state import ApiState, State
from enginehouse.api.streaming import EventStream, until_disconnect
from enginehouse.gateway.messages.asking import counting_call, message_call
from enginehouse.gateway.messages.documented import CountedTokens, MessageBody, MessagesErrorBody
from enginehouse.gateway.messages.errors import OVERLOADED, ROOT
from enginehouse.gateway.messages.schemas import MessagesPrompt, MessagesRequest
from enginehouse.gateway.messages.stream import MessageEvents
from enginehouse.gateway.messages.translate import ChatConversation
from enginehouse.gateway.translation.counting import counted_tokens
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

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
        call = message_call(body, told, request, state)
        request.state.response_headers = call.response_headers
        if body.stream:
            begun = await until_disconnect(request.receive, begin(state.text, call))
            return EventStream(begun, MessageEvents(begun, body.max_tokens))
        message = await until_disconnect(request.receive, _whole(state, call, body.max_tokens))
    return JSONResponse(message, headers=call.response_headers)


@router.post(
    f"{ROOT}/count_tokens",
    response_model=None,
    responses={200: {"model": CountedTokens}, **_ERRORS},
)
async def count_tokens(body: MessagesPrompt, request: Request, state: State) -> Response:
    """Tokens of what a message with these fields would tell the model."""
    told = ChatConversation.of(body)
    with told.names.in_errors():
        call = counting_call(body, told, request, state)
        count = await counted_tokens(call, request, state)
    return JSONResponse({"input_tokens": count}, headers=call.response_headers)


async def _whole(state: ApiState, call: TextCall, most_tokens: int) -> dict[str, Any]:
    """The message of an answer that is not streamed.

    Raises:
        ServingError: if the call fails.
    """
    begun = await begin(state.text, call)
    written = MessageEvents(begun, most_tokens)
    async with begun as pieces:
        async for piece in pieces:
            written.add(piece)
    written.finish()
    return written.message
