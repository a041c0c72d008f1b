"""`POST /v1/completions`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from enginehouse.api.answer import answer
from enginehouse.api.call import Answered, Ask, Call, Routed, Shape, TextCall
from enginehouse.api.choices import Choices, choices
from enginehouse.api.completion_shape import Echo, completion_shape
from enginehouse.api.generation import Prompt, field_names
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import Completion, CompletionChunk, answer_responses
from enginehouse.api.received import received
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Route
from enginehouse.api.schemas import DEFAULT_COMPLETION_TOKENS, CompletionRequest
from enginehouse.api.state import ApiState, State
from enginehouse.api.treatment import treated
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import InvalidRequestError
from enginehouse.text.healing import heal

router = APIRouter(route_class=JsonRoute)
_LONG_TEXT = 4096


@router.post(
    "/v1/completions",
    response_model=None,
    responses=answer_responses(Completion, CompletionChunk),
)
async def create_completion(body: CompletionRequest, request: Request, state: State) -> Response:
    """Continue texts."""
    ask = Ask(
        endpoint="completions",
        prefix="cmpl",
        stream=bool(body.stream),
        include_usage=body.include_usage,
        identity=body.identity,
        deterministic=body.deterministic,
        usage_so_far=body.counts_on,
    )
    form = _Continued(body, state)
    call = received(TextCall(ask, body.model, user=body.user, form=form), request)
    call.texts = body.prompts
    return await answer(request, state, call)


@dataclass(frozen=True, slots=True)
class _Continued:
    """A completion request on its way."""

    body: CompletionRequest
    state: ApiState

    async def choices(self, routed: Routed) -> Choices:
        """See `TextForm`."""
        call, route = routed.call, routed.route
        asked = treated(self.body, route.treatment)
        body = call.defaults.settled(asked)
        if asked.max_tokens is None:
            own = call.defaults.max_tokens
            most = min(DEFAULT_COMPLETION_TOKENS, own or DEFAULT_COMPLETION_TOKENS)
            body = body.model_copy(update={"max_tokens": max(most, body.min_tokens or 0)})

        def encode() -> list[Prompt]:
            prompts = [_prompt(body, call, text, route) for text in call.texts]
            if asked.max_tokens is not None:
                return prompts
            return [_within(prompt, route.revision) for prompt in prompts]

        size = sum(len(text) for text in call.texts)
        prompts = await asyncio.to_thread(encode) if size > _LONG_TEXT else encode()
        wanted = body.n or 1
        most = body.best_of or wanted
        return choices(self.state.engine, route.revision, prompts, call.id, most, kept=wanted)

    def shape(self, call: TextCall, answered: Answered) -> Shape:
        """See `TextForm`."""
        tokenizer = answered.tokenizer
        echo = Echo(call.texts, self.body.n or 1, tokenizer) if self.body.echo else None
        return completion_shape(None if self.body.logprobs is None else tokenizer, echo)


def _prompt(body: CompletionRequest, call: Call, text: str | list[int], route: Route) -> Prompt:
    revision, wanted = route.revision, body.n or 1
    guide, guide_field = body.guide(None)
    ids = _prompt_ids(text, revision, begins=body.add_special_tokens is not False)
    prompt = Prompt(
        ids=body.kept(ids, revision.manifest.context_length, body.max_tokens),
        max_tokens=body.max_tokens,
        sampling=body.sampling(revision.manifest.generation_defaults),
        stop=body.stops,
        log_probs=body.logprobs is not None or (body.best_of or wanted) > wanted,
        ignore_eos=bool(body.ignore_eos),
        stop_ids=body.stop_token_ids or (),
        stop_shown=bool(body.include_stop_str_in_output),
        prompt_log_probs=bool(body.echo) and body.logprobs is not None,
        guide=guide,
        adapter=route.adapter,
        priority=route.priority or call.priority,
        logit_bias=body.logit_bias,
        field_names=field_names(guide_field, "prompt"),
    )
    if not body.token_healing:
        return prompt
    if guide is not None:
        raise InvalidRequestError(
            f"token_healing is a constraint itself and cannot go with {guide_field}",
            field="token_healing",
        )
    ids, healed, guide = heal(revision.tokenizer, list(prompt.ids))
    names = field_names("token_healing", "prompt")
    return replace(prompt, ids=ids, healed=healed, guide=guide, field_names=names)


def _within(prompt: Prompt, revision: Revision) -> Prompt:
    """With as many tokens to generate as there is room for; the caller has not said how many."""
    room = revision.manifest.context_length - len(prompt.ids)
    return replace(prompt, max_tokens=min(prompt.max_tokens or 1, max(1, room)))


def _prompt_ids(text: str | list[int], revision: Revision, *, begins: bool) -> list[int]:
    special = revision.manifest.special_tokens
    if not isinstance(text, str):
        return check_ids(text, revision, "prompt")
    ids = revision.tokenizer.encode(text)
    if begins and special.add_bos and special.bos_id is not None:
        ids = [special.bos_id, *ids]
    if not ids:
        raise InvalidRequestError("the prompt is empty", field="prompt")
    return ids


def check_ids(ids: list[int], revision: Revision, field: str) -> list[int]:
    """Token ids that the model's vocabulary has.

    Raises:
        InvalidRequestError: naming the first that it has not.
    """
    size = revision.tokenizer.vocabulary_size
    for token_id in ids:
        if not 0 <= token_id < size:
            raise InvalidRequestError(
                f"{field} holds the token id {token_id}; this model's ids are 0 to {size - 1}",
                field=field,
            )
    return ids
