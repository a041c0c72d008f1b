"""`POST /v1/chat/completions`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from enginehouse.api.answer import answer
from enginehouse.api.call import Ask, Call, Shape
from enginehouse.api.caller import new_call
from enginehouse.api.choices import Choices, choices
from enginehouse.api.exposure import treated, with_prompt
from enginehouse.api.generation import Piece, Prompt, field_names
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Route
from enginehouse.api.schemas import ChatRequest
from enginehouse.api.state import State
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enginehouse.text import Tokenizer

router = APIRouter()
_LONG_TEXT = 4096


@router.post("/v1/chat/completions", response_model=None)
async def create_chat_completion(body: ChatRequest, request: Request, state: State) -> Response:
    """Answer a conversation."""
    guide, guide_field = body.guide(body.response_format)

    async def prepare(call: Call, route: Route) -> Choices:
        revision, asked = route.revision, treated(body, route.treatment)
        prompt = Prompt(
            ids=await _prompt_ids(revision, with_prompt(call.messages, route.treatment)),
            max_tokens=asked.most_tokens,
            sampling=asked.sampling(revision.manifest.generation_defaults),
            stop=body.stops,
            log_probs=bool(body.logprobs),
            ignore_eos=body.ignore_eos,
            guide=guide,
            adapter=route.adapter,
            priority=route.priority,
            logit_bias=body.logit_bias,
            field_names=field_names(guide_field),
        )
        return choices(state.engine, revision, prompt, call.id, body.n or 1)

    ask = Ask(
        endpoint="chat.completions",
        prefix="chatcmpl",
        stream=bool(body.stream),
        include_usage=body.include_usage,
        run=state.text,
        prepare=prepare,
        shape=lambda _, tokenizer: _shape(tokenizer if body.logprobs else None),
    )
    call = new_call(request, ask, body.model, user=body.user)
    call.messages = [message.for_template() for message in body.messages]
    return await answer(request, state, call)


async def _prompt_ids(revision: Revision, messages: list[dict[str, str]]) -> list[int]:
    # Short prompts take less time here than a thread switch would.
    if sum(len(m["content"]) for m in messages) > _LONG_TEXT:
        return await asyncio.to_thread(revision.template.encode, messages)
    return revision.template.encode(messages)


def _shape(tokenizer: Tokenizer | None) -> Shape:
    """How chat is written; with a tokenizer, log-probabilities are."""

    def scores(pieces: list[Piece]) -> dict[str, Any] | None:
        return None if tokenizer is None else _log_probs(tokenizer, pieces)

    return Shape(
        stream_object="chat.completion.chunk",
        whole_object="chat.completion",
        opening={
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        },
        delta=lambda piece: [
            {
                "index": piece.index,
                "delta": {"content": piece.text} if piece.text else {},
                "logprobs": scores([piece]),
                "finish_reason": piece.finish,
            }
        ],
        whole=lambda pieces: _whole(pieces, scores),
    )


def _whole(
    pieces: list[Piece], scores: Callable[[list[Piece]], dict[str, Any] | None]
) -> dict[str, Any]:
    text = "".join(piece.text for piece in pieces)
    return {
        "index": pieces[0].index,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": scores(pieces),
        "finish_reason": pieces[-1].finish,
    }


def _log_probs(tokenizer: Tokenizer, pieces: list[Piece]) -> dict[str, Any]:
    """The chosen tokens' log-probabilities; the engine gives no alternatives."""
    content = []
    for piece in pieces:
        for token_id, log_prob in zip(piece.token_ids, piece.log_probs, strict=False):
            text = tokenizer.token_text(token_id)
            raw = tokenizer.token_bytes[token_id] if tokenizer.token_bytes else text.encode()
            content.append(
                {
                    "token": text,
                    "logprob": log_prob,
                    "bytes": list(raw or text.encode()),
                    "top_logprobs": [],
                }
            )
    return {"content": content, "refusal": None}
