"""What can be refused of a prompt once its version is known, before it takes a place anywhere.

Limits, budgets and the fair share stand behind this. A request that can never be answered must
neither wait for them nor let others wait.
"""

from __future__ import annotations

from collections.abc import Sequence

from enginehouse.api.generation import Prompt
from enginehouse.api.revision import Revision

from enginehouse.errors import ContextOverflowError, InvalidRequestError


def check_prompts(prompts: Sequence[Prompt], revision: Revision) -> None:
    """Do nothing if a version can answer them.

    Raises:
        ContextOverflowError: if a prompt and its answer do not fit the context.
        InvalidRequestError: naming another field that cannot be served.
    """
    for prompt in prompts:
        _check_room(prompt, revision)
        _check_ids(prompt, revision)
        _check_end(prompt)


def _check_room(prompt: Prompt, revision: Revision) -> None:
    context, size, wanted = revision.manifest.context_length, len(prompt.ids), prompt.max_tokens
    if size + (1 if wanted is None else wanted) > context:
        names = prompt.field_names
        place = names.get("input_ids", "messages")
        limit = names.get("request_output_len", "max_tokens")
        raise ContextOverflowError(
            overflow(context, size, wanted, place),
            # What the caller can change: the limit is no help to a prompt that is too long.
            field=place if size >= context else limit,
            prompt_tokens=size,
            context=context,
        )


def overflow(context: int, size: int, wanted: int | None, place: str) -> str:
    """OpenAI's sentence: clients look for its beginning to shorten a conversation by themselves.

    Args:
        context: most tokens of prompt and answer.
        size: tokens of the prompt.
        wanted: tokens of the answer, if the caller said how many.
        place: the field that the prompt came in.
    """
    begins = f"This model's maximum context length is {context} tokens. However, "
    if wanted is None or size >= context:
        return (
            f"{begins}your {place} resulted in {size} tokens. Please reduce the length of the "
            f"{place}."
        )
    return (
        f"{begins}you requested {size + wanted} tokens ({size} in the {place}, {wanted} in the "
        f"completion). Please reduce the length of the {place} or completion."
    )


def _check_ids(prompt: Prompt, revision: Revision) -> None:
    """The contract's bias has a place for each id up to the highest: look before it is made."""
    size = revision.tokenizer.vocabulary_size
    named = [("logit_bias", token_id) for token_id in prompt.logit_bias or ()]
    named += [("stop_token_ids", token_id) for token_id in prompt.stop_ids]
    for field, token_id in named:
        if not 0 <= token_id < size:
            raise InvalidRequestError(
                f"{field} names the token id {token_id}; this model's ids are 0 to {size - 1}",
                field=field,
            )


def _check_end(prompt: Prompt) -> None:
    """A constraint says where an answer ends, so nothing else can; the engine has this rule too."""
    if prompt.guide is None:
        return
    asks = prompt.field_names.get("guided_decoding_guide", "the constraint")
    if prompt.ignore_eos:
        raise InvalidRequestError(
            f"ignore_eos cannot go with {asks}, which says where the answer ends: leave it out",
            field="ignore_eos",
        )
    if prompt.sampling.min_tokens:
        raise InvalidRequestError(
            f"min_tokens is {prompt.sampling.min_tokens}, but {asks} says where the answer may "
            "end: leave it out",
            field="min_tokens",
        )
