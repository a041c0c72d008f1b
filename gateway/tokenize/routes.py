"""Routes `POST /tokenize` and `POST /detokenize`, named as on other servers of OpenAI's API."""

from __future__ import annotations

import asyncio
from typing import Any

from enginehouse.api.boundary import RequestModel
from enginehouse.api.chat_prompt import conversation_ids, form_of
from enginehouse.api.completions import check_ids
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.messages import ChatForm
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.received import caller_of
from enginehouse.api.refused import wrong
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Keys
from enginehouse.api.schemas import Ids
from enginehouse.api.state import ApiState, State
from enginehouse.api.tools.schema import Tools
from fastapi import APIRouter
from pydantic import BaseModel, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enginehouse.text.tool_calls import tool_format

router = APIRouter(route_class=JsonRoute)


class TokenizeRequest(ChatForm):
    """A text, or a conversation that is rendered with the model's chat template.

    Attributes:
        add_special_tokens: whether a text gets the model's begin token, if it has one; true by
            default.
        return_token_strs: whether to return the text of each token too.
    """

    model: str
    prompt: str | None = None
    tools: Tools | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if self.prompt is None and self.messages is None:
            raise wrong("prompt", "give a prompt or messages")
        if self.prompt is not None and self.messages is not None:
            raise wrong("messages", "prompt is given too: give one of both")
        if self.tools is not None and self.messages is None:
            raise wrong("tools", "tools go with messages")
        return self


class Tokens(BaseModel):
    """Token ids; `max_model_len` is the model's context in tokens."""

    tokens: list[int]
    count: int
    max_model_len: int
    token_strs: list[str] | None = None


class DetokenizeRequest(RequestModel):
    """Token ids of a model."""

    model: str
    tokens: Ids


class Detokenized(BaseModel):
    """Text of the token ids, with control tokens in their written form."""

    prompt: str


@router.post(
    "/tokenize", response_model=None, responses={200: {"model": Tokens}, **error_responses()}
)
async def tokenize(body: TokenizeRequest, request: Request, state: State) -> Response:
    """Token ids of a text or of a conversation.

    Raises:
        ModelNotFoundError: if there is no such model.
        InvalidRequestError: if the model has no tokenizer.
    """
    messages = [message.for_template() for message in body.messages or ()]
    revision = await _revision(state, request, body.model, messages)
    ids = await _ids(body, revision, messages)
    found = {
        "tokens": ids,
        "count": len(ids),
        "max_model_len": revision.manifest.context_length,
    }
    if body.return_token_strs:
        found["token_strs"] = [revision.tokenizer.token_text(token_id) for token_id in ids]
    return _answer(found, revision)


@router.post(
    "/detokenize",
    response_model=None,
    responses={200: {"model": Detokenized}, **error_responses()},
)
async def detokenize(body: DetokenizeRequest, request: Request, state: State) -> Response:
    """Text of token ids.

    Raises:
        ModelNotFoundError: if there is no such model.
        InvalidRequestError: if the model has no such token.
    """
    revision = await _revision(state, request, body.model, [])
    ids = check_ids(body.tokens, revision, "tokens")
    text = await asyncio.to_thread(revision.tokenizer.decode, ids, skip_special_tokens=False)
    return _answer({"prompt": text}, revision)


async def _revision(
    state: ApiState, request: Request, model: str, messages: list[dict[str, Any]]
) -> Revision:
    resolved = state.names.resolved(model)
    caller_of(request).check_model(resolved)
    route = await state.router.route(resolved, Keys(None, messages, request.headers))
    return route.revision


async def _ids(
    body: TokenizeRequest, revision: Revision, messages: list[dict[str, Any]]
) -> list[int]:
    if body.prompt is None:
        tools = [tool.for_template() for tool in body.tools or ()]
        spoken = tool_format(revision.template.source)
        return await conversation_ids(revision, messages, tools, spoken, form_of(body, {}))
    ids = await asyncio.to_thread(revision.tokenizer.encode, body.prompt)
    special = revision.manifest.special_tokens
    if body.add_special_tokens is not False and special.add_bos and special.bos_id is not None:
        ids = [special.bos_id, *ids]
    return ids


def _answer(content: dict[str, Any], revision: Revision) -> Response:
    return JSONResponse(content, headers={VERSION_HEADER: str(revision.version)})
