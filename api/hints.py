"""Fields of other servers of this API that change nothing here, or have one value that does not.

Clients that were written for those servers send them, most often with the value that is what
happens anyway. Names and defaults are vLLM's (`vllm/entrypoints/openai`, `SamplingParams`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel
from enginehouse.api.refused import refused, refused_unless
from pydantic import Field

from enginehouse.requests.wire_types import PositiveCount

_BEAMS = "beam search is not offered: leave it out"
_TOKENS_BACK = "answers carry text, not token ids: ask for logprobs, or send the text to /tokenize"
_PROMPT_SCORES = "the log-probabilities of a prompt are not given: leave it out"
_LIMITED = "what may be generated is limited by a constraint: use structured_outputs"
_TRANSFER = "the KV cache is not moved between engines: leave it out"
_LIST = Annotated[list[Any], Field(max_length=0)]


class Hints(RequestModel):
    """Fields that both endpoints take and that change nothing.

    Attributes:
        request_id, session_id: for the caller's own records; `x-request-id` is what logs carry.
        stream_interval: tokens a chunk; chunks carry what has come.
        mm_processor_kwargs, media_io_kwargs: for images and sounds, of which there are none.
    """

    request_id: Annotated[str, Field(max_length=512)] | None = None
    session_id: Annotated[str, Field(max_length=512)] | None = None
    stream_interval: PositiveCount | None = None
    guided_decoding_backend: Annotated[str, Field(max_length=64)] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, Any] | None = None
    use_beam_search: Annotated[Literal[False] | None, refused_unless(False, _BEAMS)] = None
    length_penalty: Annotated[float | None, refused_unless(1, _BEAMS)] = None
    early_stopping: Annotated[Literal[False] | None, refused_unless(False, _BEAMS)] = None
    skip_special_tokens: Annotated[
        Literal[True] | None, refused_unless(True, "control tokens are never part of the text")
    ] = None
    spaces_between_special_tokens: Annotated[
        bool | None, refused_unless(True, "control tokens are never part of the text")
    ] = None
    detokenize: Annotated[Literal[True] | None, refused_unless(True, _TOKENS_BACK)] = None
    return_token_ids: Annotated[Literal[False] | None, refused_unless(False, _TOKENS_BACK)] = None
    return_tokens_as_token_ids: Annotated[
        Literal[False] | None, refused_unless(False, _TOKENS_BACK)
    ] = None
    prompt_logprobs: Annotated[None, refused(_PROMPT_SCORES)] = None
    logprob_token_ids: Annotated[_LIST | None, refused_unless([], _PROMPT_SCORES)] = None
    allowed_token_ids: Annotated[_LIST | None, refused_unless([], _LIMITED)] = None
    bad_words: Annotated[
        _LIST | None,
        refused_unless([], "words that must not come are an input of the model's own API only"),
    ] = None
    logits_processors: Annotated[
        _LIST | None, refused_unless([], "no code of the caller's is run: leave it out")
    ] = None
    priority: Annotated[
        Literal[0] | None, refused_unless(0, "ask for a place in the queue with service_tier")
    ] = None
    thinking_token_budget: Annotated[
        Literal[-1] | None, refused_unless(-1, "reasoning has no limit of its own")
    ] = None
    repetition_detection: Annotated[
        None, refused("answers are not ended for repeating themselves: use repetition_penalty")
    ] = None
    cache_salt: Annotated[
        None, refused("the engine's prefix cache is common to all callers: leave it out")
    ] = None
    kv_transfer_params: Annotated[None, refused(_TRANSFER)] = None
    ec_transfer_params: Annotated[None, refused(_TRANSFER)] = None
    vllm_xargs: Annotated[
        dict[str, Any] | None, refused_unless({}, "there are no extensions to read it")
    ] = None
    guided_whitespace_pattern: Annotated[
        None, refused("JSON comes without free white space: leave it out")
    ] = None


class ChatHints(Hints):
    """Those of chat alone."""

    include_reasoning: Annotated[
        Literal[True] | None,
        refused_unless(True, "reasoning is always told apart and given: do not read it"),
    ] = None
    echo: Annotated[
        Literal[False] | None, refused_unless(False, "the answer is what the model adds")
    ] = None
    add_special_tokens: Annotated[
        Literal[False] | None, refused_unless(False, "the chat template writes them itself")
    ] = None
    best_of: Annotated[Literal[1] | None, refused_unless(1, "use n: all answers are given")] = None
    documents: Annotated[
        _LIST | None, refused_unless([], "put documents into a message: templates read no others")
    ] = None
    chat_template: Annotated[
        None, refused("the template belongs to the model's version: use chat_template_kwargs")
    ] = None
