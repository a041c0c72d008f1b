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
    context, wanted = revision.manifest.context_length, prompt.max_tokens
    room = context - len(prompt.ids)
    if room < 1 or (wanted is not None and wanted > room):
        asked = f" and {wanted} to generate" if wanted is not None else ""
        raise ContextOverflowError(
            f"the model's context is {context} tokens; the prompt has {len(prompt.ids)}{asked}: "
            "shorten the prompt or lower max_tokens",
            field="messages" if room < 1 else "max_tokens",
            prompt_tokens=len(prompt.ids),
            context=context,
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
