"""A response's request as a call, and the response's own fields."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from enginehouse.api.call import Call
from enginehouse.api.chat import chat_call
from enginehouse.api.responses.schemas import ResponseRequest
from enginehouse.api.responses.translate import FIELD_NAMES, Stored, chat_body
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import ApiState
from pydantic import ValidationError
from starlette.requests import Request

from enginehouse.errors import InvalidRequestError


async def response_call(
    body: ResponseRequest, items: Sequence[Stored], request: Request, state: ApiState
) -> Call:
    """The call that answers; it goes through the stages as any chat request.

    Args:
        items: the whole conversation, the request's own items last.

    Raises:
        InvalidRequestError: naming the field of this API that is wrong.
    """
    call = await chat_call(_chat_request(chat_body(body, items)), request, state)
    call.id = f"resp_{uuid.uuid4().hex}"
    call.store = body.kept
    return call


def _chat_request(values: dict[str, Any]) -> ChatRequest:
    try:
        return ChatRequest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else None
        field = FIELD_NAMES.get(name or "", name)
        raise InvalidRequestError(f"{field}: {first['msg']}", field=field) from None


@contextmanager
def own_names() -> Iterator[None]:
    """Have errors name the fields of this API, not the chat API's."""
    try:
        yield
    except InvalidRequestError as error:
        error.field = FIELD_NAMES.get(error.field or "", error.field)
        raise


def unwritten(body: ResponseRequest, call: Call) -> dict[str, Any]:
    """A response before anything is said in it; it is known who answers."""
    assert call.served_by is not None  # noqa: S101 - its first piece is there
    reasoning = None if body.reasoning is None else body.reasoning.effort
    text = {} if body.text is None else body.text.model_dump(by_alias=True, exclude_none=True)
    choice = body.tool_choice or ("auto" if body.tools else "none")
    return {
        "id": call.id,
        "object": "response",
        "created_at": int(call.at),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "model": call.served_by.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt": body.prompt.model_dump() if body.prompt else None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": reasoning, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": served_tier(call) or "default",
        "store": body.kept,
        "temperature": body.temperature,
        "text": {"format": {"type": "text"}, **text},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [_tool(tool.model_dump()) for tool in body.tools or []],
        "top_logprobs": 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """As OpenAI gives tools back: what was left out is null."""
    return {"description": None, "parameters": None, "strict": None, **tool}
