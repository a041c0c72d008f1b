"""Makes a call of a Responses request, and the response's own fields."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

from enginehouse.api.call import Answered, TextCall
from enginehouse.api.chat import chat_call
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.service_tier import served_tier
from enginehouse.api.state import ApiState
from enginehouse.api.treatment import treated
from enginehouse.gateway.responses.names import own_names
from enginehouse.gateway.responses.schemas import ResponsePrompt, ResponseRequest
from enginehouse.gateway.responses.translate import TranslatedMessages, chat_body, counted_body
from enginehouse.gateway.translation.fitting import DroppingOldest
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
    call: TextCall

    @classmethod
    def of(
        cls, body: ResponseRequest, told: TranslatedMessages, request: Request, state: ApiState
    ) -> ResponseCall:
        """The call that answers the request; it passes all stages like a chat request.

        Raises:
            InvalidRequestError: naming a field of the chat API, see `own_names`.
        """
        chat = chat_request(chat_body(body, told.messages), own_names(told.places))
        call = chat_call(chat, request, state)
        call.id = f"resp_{uuid.uuid4().hex}"
        call.store = body.kept
        if body.truncation == "auto":
            _may_be_shortened(call)
        return cls(body, chat, call)

    def unwritten(self, answered: Answered) -> dict[str, Any]:
        """The response before anything is said in it."""
        body, call = self.body, self.call
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
            "model": answered.served_by.model,
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
            **self._sampling(answered),
        }

    def _sampling(self, answered: Answered) -> dict[str, float]:
        """What the answer is drawn with: the caller's, else the model's, else the version's.

        A provider does not tell its own defaults; OpenAI's stand in for them.
        """
        asked, defaults, revision = self.chat, GenerationDefaults(), answered.revision
        if revision is not None:
            defaults = revision.manifest.generation_defaults
            asked = self.call.defaults.settled(treated(asked, answered.treatment))
        given, top_p = asked.temperature, asked.top_p
        return {
            "temperature": defaults.temperature if given is None else given,
            "top_p": defaults.top_p if top_p is None else top_p,
            "presence_penalty": asked.presence_penalty or 0.0,
            "frequency_penalty": asked.frequency_penalty or 0.0,
        }


def counting_call(
    body: ResponsePrompt, told: TranslatedMessages, request: Request, state: ApiState
) -> TextCall:
    """The call whose prompt is to be counted; errors as `ResponseCall.of`."""
    names = own_names(told.places)
    chat = chat_request(counted_body(body, told.messages), names)
    call = chat_call(chat, request, state)
    if body.truncation == "auto":
        _may_be_shortened(call)
    return call


def _may_be_shortened(call: TextCall) -> None:
    call.form = DroppingOldest(call.form)
    call.ask = replace(call.ask, identity={**call.ask.identity, "truncation": "auto"})


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI returns it: fields that were left out are null."""
    return {"description": None, "parameters": None, "strict": None, **tool}
