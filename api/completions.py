"""`POST /v1/completions`."""

from __future__ import annotations

import itertools
from typing import Any

from enginehouse.api.answer import answer
from enginehouse.api.call import Ask, Call, Shape
from enginehouse.api.caller import new_call
from enginehouse.api.choices import Choices, choices
from enginehouse.api.exposure import treated
from enginehouse.api.generation import Piece, Prompt, field_names
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Route
from enginehouse.api.schemas import CompletionRequest
from enginehouse.api.state import State
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.errors import InvalidRequestError
from enginehouse.text import Tokenizer
from enginehouse.text.healing import heal

router = APIRouter()


@router.post("/v1/completions", response_model=None)
async def create_completion(body: CompletionRequest, request: Request, state: State) -> Response:
    """Continue a text."""
    wanted = body.n or 1

    async def prepare(call: Call, route: Route) -> Choices:
        prompt = _prompt(treated(body, route.treatment), route)
        most = body.best_of or wanted
        return choices(state.engine, route.revision, prompt, call.id, most, kept=wanted)

    ask = Ask(
        endpoint="completions",
        prefix="cmpl",
        stream=bool(body.stream),
        include_usage=body.include_usage,
        run=state.text,
        prepare=prepare,
        shape=lambda _, tokenizer: _shape(None if body.logprobs is None else tokenizer),
    )
    return await answer(request, state, new_call(request, ask, body.model, user=body.user))


def _prompt(body: CompletionRequest, route: Route) -> Prompt:
    revision, wanted = route.revision, body.n or 1
    guide, guide_field = body.guide(None)
    ids, healed = _prompt_ids(body, revision), ""
    if body.token_healing:
        if guide is not None:
            raise InvalidRequestError(
                f"token_healing is a constraint itself and cannot go with {guide_field}",
                field="token_healing",
            )
        ids, healed, guide = heal(revision.tokenizer, ids)
        guide_field = "token_healing"
    return Prompt(
        ids=ids,
        max_tokens=body.max_tokens,
        sampling=body.sampling(revision.manifest.generation_defaults),
        stop=body.stops,
        log_probs=body.logprobs is not None or (body.best_of or wanted) > wanted,
        ignore_eos=body.ignore_eos,
        guide=guide,
        adapter=route.adapter,
        priority=route.priority,
        logit_bias=body.logit_bias,
        healed=healed,
        field_names=field_names(guide_field),
    )


def _prompt_ids(body: CompletionRequest, revision: Revision) -> list[int]:
    special = revision.manifest.special_tokens
    if isinstance(body.prompt, str):
        ids = revision.tokenizer.encode(body.prompt)
        if special.add_bos and special.bos_id is not None:
            ids = [special.bos_id, *ids]
    else:
        ids = [int(i) for i in body.prompt]
    if not ids:
        raise InvalidRequestError("the prompt is empty", field="prompt")
    return ids


def _shape(tokenizer: Tokenizer | None) -> Shape:
    """How completions are written; with a tokenizer, log-probabilities are."""

    def choice(pieces: list[Piece]) -> dict[str, Any]:
        return {
            "index": pieces[0].index,
            "text": "".join(piece.text for piece in pieces),
            "logprobs": None if tokenizer is None else _log_probs(tokenizer, pieces),
            "finish_reason": pieces[-1].finish,
        }

    return Shape(
        stream_object="text_completion",
        whole_object="text_completion",
        opening=None,
        delta=lambda piece: [choice([piece])],
        whole=choice,
    )


def _log_probs(tokenizer: Tokenizer, pieces: list[Piece]) -> dict[str, Any]:
    tokens = [tokenizer.token_text(i) for piece in pieces for i in piece.token_ids]
    lengths = [0, *(len(token) for token in tokens)]
    return {
        "tokens": tokens,
        "token_logprobs": [value for piece in pieces for value in piece.log_probs],
        "top_logprobs": None,
        "text_offset": list(itertools.accumulate(lengths))[: len(tokens)],
    }
