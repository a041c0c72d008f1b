"""`POST /v1/chat/completions`."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.api.answer import answer
from enginehouse.api.call import Answered, Ask, Call, Routed, Shape, TextCall
from enginehouse.api.chat_prompt import (
    Form,
    conversation_ids,
    effort_variables,
    form_of,
    spoken_format,
)
from enginehouse.api.chat_shape import Reading, chat_shape
from enginehouse.api.choices import Choices, choices
from enginehouse.api.generation import Prompt, field_names
from enginehouse.api.guides import response_schema
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import ChatCompletion, ChatCompletionChunk, answer_responses
from enginehouse.api.received import received
from enginehouse.api.revision import Revision
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.service_tier import wish
from enginehouse.api.state import ApiState, State
from enginehouse.api.tools.asked import ToolsAsked
from enginehouse.api.treatment import treated, with_prompt
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import Guide
from enginehouse.text import ChatTemplate
from enginehouse.text.reasoning import ReasoningSplitter, splitter_behind, splitter_of
from enginehouse.text.tool_calls import ToolCallParser

router = APIRouter(route_class=JsonRoute)


@router.post(
    "/v1/chat/completions",
    response_model=None,
    responses=answer_responses(ChatCompletion, ChatCompletionChunk),
)
async def create_chat_completion(body: ChatRequest, request: Request, state: State) -> Response:
    """Answer a conversation."""
    return await answer(request, state, chat_call(body, request, state))


def chat_call(body: ChatRequest, request: Request, state: ApiState) -> TextCall:
    """The call of a chat request; nothing has been asked of the engine yet.

    Raises:
        InvalidRequestError: if fields do not go together.
    """
    tools = ToolsAsked.of(
        body.tools, body.tool_choice, parallel=body.parallel_tool_calls is not False
    )
    chat = _Chat(body, state, tools, *_constraint(body, tools))
    ask = Ask(
        endpoint="chat.completions",
        prefix="chatcmpl",
        stream=bool(body.stream),
        include_usage=body.include_usage,
        identity=body.identity,
        deterministic=body.deterministic,
        usage_so_far=body.counts_on,
    )
    call = received(TextCall(ask, body.model, user=body.end_user, form=chat), request)
    call.messages = [message.for_template() for message in body.messages]
    call.tools = list(tools.shown)
    call.store = bool(body.store)
    call.metadata = body.metadata or {}
    wish(call, body.service_tier)
    if body.prompt is not None:
        call.managed_prompt = body.prompt.model_dump(exclude_none=True)
    return call


def _constraint(body: ChatRequest, tools: ToolsAsked) -> tuple[Guide | None, str | None]:
    """The constraint on the answer's text, and the field that asks for it."""
    guide, field = body.guide(body.response_format)
    if field is not None and field != "response_format" and tools.shown:
        raise InvalidRequestError(
            f"{field} leaves no room for tool calls: leave out {field}, or set tool_choice to "
            "'none'",
            field=field,
        )
    return guide, field


@dataclass(frozen=True, slots=True)
class _Chat:
    """A chat request on its way: how it is asked, and how its answers are read.

    Attributes:
        guide, guide_field: the constraint of an answer without tools.
    """

    body: ChatRequest
    state: ApiState
    tools: ToolsAsked
    guide: Guide | None
    guide_field: str | None

    async def choices(self, routed: Routed) -> Choices:
        """See `TextForm`."""
        call, route = routed.call, routed.route
        revision = route.revision
        asked = call.defaults.settled(treated(self.body, route.treatment))
        template = revision.template
        spoken = spoken_format(call, template)
        response = response_schema(self.body.response_format)
        guide, field = self.tools.guide(spoken, response), "tools"
        if guide is None:
            guide, field = self.guide, self.guide_field or ""
        ids = await conversation_ids(
            revision,
            with_prompt(call.messages, route.treatment),
            call.tools,
            spoken,
            self._form(template),
        )
        prompt = Prompt(
            ids=asked.kept(ids, revision.manifest.context_length, asked.most_tokens),
            max_tokens=asked.most_tokens,
            sampling=asked.sampling(revision.manifest.generation_defaults),
            stop=asked.stops,
            log_probs=bool(asked.logprobs),
            ignore_eos=bool(asked.ignore_eos),
            stop_ids=asked.stop_token_ids or (),
            stop_shown=bool(asked.include_stop_str_in_output),
            guide=guide,
            adapter=route.adapter,
            priority=route.priority or call.priority,
            logit_bias=asked.logit_bias,
            field_names=field_names(field or None, limit_field=self.body.limit_field),
            reasoning=lambda: self._splitter(template),
        )
        return choices(self.state.engine, revision, [prompt], call.id, asked.n or 1)

    def shape(self, call: TextCall, answered: Answered) -> Shape:
        """See `TextForm`."""
        revision = answered.revision
        if not isinstance(revision, Revision):
            # The reasoning and tool calls of a provider's text have been read by the provider.
            return chat_shape(Reading(lambda: None, lambda: None))
        template = revision.template
        return chat_shape(
            Reading(
                lambda: self._splitter(template),
                lambda: self._parser(call, template),
                bool(self.body.logprobs),
            )
        )

    def _parser(self, call: Call, template: ChatTemplate) -> ToolCallParser | None:
        constrained = response_schema(self.body.response_format) is not None
        return self.tools.parser(spoken_format(call, template), response=constrained)

    def _form(self, template: ChatTemplate) -> Form:
        return form_of(self.body, effort_variables(template, self.body.reasoning_effort))

    def _splitter(self, template: ChatTemplate) -> ReasoningSplitter | None:
        """None under a constraint: it holds from the first token, so there is no reasoning."""
        if self.guide is not None or self.tools.forced:
            return None
        if self.body.continues:
            return splitter_behind(self.body.messages[-1].text)
        return splitter_of(template, self._form(template).variables)
