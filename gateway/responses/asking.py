"""Makes a call of a Responses request, and the response's own fields."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from enginehouse.api.call import Call
from enginehouse.api.chat import chat_call
from enginehouse.api.exposure import treated
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import ApiState
from enginehouse.gateway.models.settings import settled
from enginehouse.gateway.responses.names import own_names
from enginehouse.gateway.responses.schemas import ResponsePrompt, ResponseRequest
from enginehouse.gateway.responses.translate import TranslatedMessages, chat_body, counted_body
from enginehouse.gateway.translation.fitting import dropping_oldest
from enginehouse.gateway.translation.own_names import chat_request
from starlette.requests import Request

from enginehouse.manifest import GenerationDefaults


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """A Responses request in progress.

    Attributes:
        chat: the request translated to a chat request.
        call: the call that passes the stages.
    """

    body: ResponseRequest
    chat: ChatRequest
    call: Call
    state: ApiState

    @classmethod
    async def of(
        cls, body: ResponseRequest, told: TranslatedMessages, request: Request, state: ApiState
    ) -> ResponseCall:
        """The call that answers the request; it passes all stages like a chat request.

        Raises:
            InvalidRequestError: naming a field of the chat API, see `own_names`.
        """
        chat = chat_request(chat_body(body, told.messages), own_names(told.places))
        call = await chat_call(chat, request, state)
        call.id = f"resp_{uuid.uuid4().hex}"
        call.store = body.kept
        if body.truncation == "auto":
            _may_be_shortened(call)
        return cls(body, chat, call, state)

    def unwritten(self) -> dict[str, Any]:
        """The response before any output; it is already known which version answers."""
        body, call = self.body, self.call
        assert call.served_by is not None  # noqa: S101 - its first piece is there
        effort = None if body.reasoning is None else body.reasoning.effort
        text = {} if body.text is None else body.text.model_dump(by_alias=True, exclude_none=True)
        choice = body.tool_choice or "auto"
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
            "max_tool_calls": body.max_tool_calls,
            "metadata": body.metadata or {},
            "model": call.served_by.model,
            "output": [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "prompt": body.prompt.model_dump() if body.prompt else None,
            "prompt_cache_key": body.prompt_cache_key,
            "prompt_cache_retention": body.prompt_cache_retention,
            "reasoning": {"effort": effort, "summary": None},
            "safety_identifier": body.safety_identifier,
            "service_tier": served_tier(call) or "default",
            "store": body.kept,
            "text": {"format": {"type": "text"}, "verbosity": "medium", **text},
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
            "tools": [_tool(tool.model_dump()) for tool in body.tools or []],
            "top_logprobs": 0,
            "truncation": body.truncation or "disabled",
            "usage": None,
            "user": body.user,
            **self._sampling(),
        }

    def _sampling(self) -> dict[str, float]:
        """The sampling parameters.

        The caller's, else those configured for the model, else the version's.

        The defaults of an external provider are unknown; OpenAI's defaults are shown for it.
        """
        asked, defaults, route = self.chat, GenerationDefaults(), self.call.route
        if route is not None:
            defaults = route.revision.manifest.generation_defaults
            own = self.state.models.of(self.call.model)
            asked = settled(treated(asked, route.treatment), own)
        given, top_p = asked.temperature, asked.top_p
        return {
            "temperature": defaults.temperature if given is None else given,
            "top_p": defaults.top_p if top_p is None else top_p,
            "presence_penalty": asked.presence_penalty or 0.0,
            "frequency_penalty": asked.frequency_penalty or 0.0,
        }


async def counting_call(
    body: ResponsePrompt, told: TranslatedMessages, request: Request, state: ApiState
) -> Call:
    """The call whose prompt is counted; errors as `ResponseCall.of`."""
    names = own_names(told.places)
    chat = chat_request(counted_body(body, told.messages), names)
    call = await chat_call(chat, request, state)
    if body.truncation == "auto":
        _may_be_shortened(call)
    return call


def _may_be_shortened(call: Call) -> None:
    assert call.ask.prepare is not None  # noqa: S101 - text endpoints have it
    call.ask = replace(
        call.ask,
        prepare=dropping_oldest(call.ask.prepare),
        identity={**call.ask.identity, "truncation": "auto"},
    )


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI returns it: fields that were left out are null."""
    return {"description": None, "parameters": None, "strict": None, **tool}
