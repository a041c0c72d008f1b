"""Routes of the Responses API, `/v1/responses`, with stored responses."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any, Literal

from enginehouse.api.answer import whole_body
from enginehouse.api.begun import begin
from enginehouse.api.call import Answered
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.received import caller_of
from enginehouse.api.state import ApiState, State
from enginehouse.api.streaming import EventStream, until_disconnect
from enginehouse.gateway.paths import ONE_RESPONSE, Id
from enginehouse.gateway.responses.asking import ResponseCall, counting_call
from enginehouse.gateway.responses.documented import (
    DeletedResponse,
    InputItemList,
    InputTokens,
    ResponseObject,
)
from enginehouse.gateway.responses.events import ResponseWriter
from enginehouse.gateway.responses.names import own_names
from enginehouse.gateway.responses.schemas import ResponsePrompt, ResponseRequest, TokenCountRequest
from enginehouse.gateway.responses.store import ResponseChain, ResponseStore
from enginehouse.gateway.responses.stored import StoredItem, references, stored_items
from enginehouse.gateway.responses.stream import Keep, ResponseEvents
from enginehouse.gateway.responses.translate import told_by
from enginehouse.gateway.translation.counting import counted_tokens
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enginehouse.errors import InvalidRequestError

router = APIRouter(route_class=JsonRoute)
_ANSWERED: dict[str, Any] = {
    "model": ResponseObject,
    "description": "The response. With `stream`, server-sent events, each named by its type; the "
    "last carries the whole response (`response.completed`, `response.incomplete` or "
    "`response.failed`), and no `[DONE]` follows it.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


async def _store(request: Request) -> ResponseStore:
    store: ResponseStore = request.app.state.responses
    return store


Store = Annotated[ResponseStore, Depends(_store)]


@router.post(
    "/v1/responses",
    response_model=None,
    responses={200: _ANSWERED, **error_responses()},
)
async def create_response(
    body: ResponseRequest, request: Request, state: State, store: Store
) -> Response:
    """Answer a request, and continue an earlier response if one is named."""
    tenant = caller_of(request).tenant
    chain, own = await _conversation(body, tenant, store)
    told = told_by(body, [*chain.items, *own])
    keep: Keep | None = None
    if body.kept:
        keep = partial(store.save, tenant, items=own, chain=chain)
    with own_names(told.places).in_errors():
        asked = ResponseCall.of(body, told, request, state)
        request.state.response_headers = asked.call.response_headers
        if body.stream:
            begun = await until_disconnect(request.receive, begin(state.text, asked.call))
            writer = ResponseWriter(asked.unwritten(begun.answered))
            return EventStream(begun, ResponseEvents(begun, writer, keep))
        whole, answered = await until_disconnect(request.receive, _whole(asked, state))
    writer = ResponseWriter(asked.unwritten(answered))
    writer.choice(whole["choices"][0])
    writer.finish(whole["usage"], time.time())
    if keep is not None:
        await keep(writer.response)
    return JSONResponse(writer.response, headers=asked.call.response_headers)


async def _whole(asked: ResponseCall, state: ApiState) -> tuple[dict[str, Any], Answered]:
    """The chat completion; all stages have ended."""
    begun = await begin(state.text, asked.call)
    whole = await whole_body(begun)
    async with begun as pieces:
        async for _ in pieces:
            pass
    return whole, begun.answered


async def _conversation(
    body: ResponsePrompt, tenant: str, store: ResponseStore
) -> tuple[ResponseChain, list[StoredItem]]:
    """What was said before, and the request's own items."""
    previous = body.previous_response_id
    chain = ResponseChain() if previous is None else await store.chain(tenant, previous)
    referred = await store.referred(tenant, references(body.input))
    return chain, stored_items(body.input, referred)


@router.post(
    "/v1/responses/input_tokens",
    response_model=None,
    responses={200: {"model": InputTokens}, **error_responses()},
)
async def count_input_tokens(
    body: TokenCountRequest, request: Request, state: State, store: Store
) -> Response:
    """Count the prompt tokens of a request without answering it."""
    chain, own = await _conversation(body, caller_of(request).tenant, store)
    told = told_by(body, [*chain.items, *own])
    with own_names(told.places).in_errors():
        call = counting_call(body, told, request, state)
        count = await counted_tokens(call, request, state)
    content = {"object": "response.input_tokens", "input_tokens": count}
    return JSONResponse(content, headers=call.response_headers)


@router.get(
    ONE_RESPONSE,
    response_model=None,
    responses={200: {"model": ResponseObject}, **error_responses()},
)
async def get_response(
    response_id: Id,
    request: Request,
    store: Store,
    *,
    stream: Annotated[
        bool, Query(description="refused: no response runs in the background")
    ] = False,
) -> Response:
    """A stored response with everything that `include` could add.

    Raises:
        InvalidRequestError: if streaming is requested.
        NotFoundError: if the tenant has no such response.
    """
    if stream:
        raise InvalidRequestError(
            "stream is true: no response runs in the background, so there is nothing to follow; "
            "leave it out",
            field="stream",
        )
    return JSONResponse(await store.body(caller_of(request).tenant, response_id))


@router.get(
    f"{ONE_RESPONSE}/input_items",
    response_model=None,
    responses={200: {"model": InputItemList}, **error_responses()},
)
async def list_input_items(
    response_id: Id,
    request: Request,
    store: Store,
    after: Annotated[str | None, Query(max_length=256)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """The request's own items; earlier items belong to the previous response.

    Raises:
        InvalidRequestError: if `after` is not one of its items.
        NotFoundError: if the tenant has no such response.
    """
    items = await store.items(caller_of(request).tenant, response_id)
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise InvalidRequestError(f"after is {after!r}: there is no such item", field="after")
    first = 0 if after is None else ids.index(after) + 1
    page = items[first : first + limit]
    return JSONResponse(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": first + limit < len(items),
        }
    )


@router.delete(
    ONE_RESPONSE,
    response_model=None,
    responses={200: {"model": DeletedResponse}, **error_responses()},
)
async def delete_response(response_id: Id, request: Request, store: Store) -> Response:
    """Delete a response. Responses that continue it cannot be continued any more.

    Raises:
        NotFoundError: if the tenant has no such response.
    """
    await store.delete(caller_of(request).tenant, response_id)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


@router.post(
    f"{ONE_RESPONSE}/cancel",
    response_model=None,
    responses={200: {"model": ResponseObject}, **error_responses()},
)
async def cancel_response(response_id: Id, request: Request, store: Store) -> Response:
    """Always rejected, because no response runs in the background.

    Raises:
        InvalidRequestError: if the tenant has such a response.
        NotFoundError: if the tenant has none.
    """
    await store.body(caller_of(request).tenant, response_id)
    raise InvalidRequestError(
        "Cannot cancel a synchronous response: it has ended. While one is answered, closing its "
        "connection cancels it",
        field="response_id",
    )
