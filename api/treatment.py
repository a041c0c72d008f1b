"""What the arm of an A/B experiment changes of a request."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from enginehouse.traffic.treatments import Treatment

_Body = TypeVar("_Body", bound=BaseModel)


def treated(body: _Body, treatment: Treatment | None) -> _Body:
    """The request with the arm's sampling for every field that the caller left out."""
    if treatment is None:
        return body
    left_out = {
        name: value
        for name, value in treatment.arm.sampling.items()
        if getattr(body, name, None) is None
    }
    # OpenAI's newer name for the same limit.
    if getattr(body, "max_completion_tokens", None) is not None:
        left_out.pop("max_tokens", None)
    return body.model_copy(update=left_out) if left_out else body


def with_prompt(
    messages: list[dict[str, str]], treatment: Treatment | None
) -> list[dict[str, str]]:
    """The conversation behind the arm's system prompt."""
    if treatment is None or treatment.arm.system_prompt is None:
        return messages
    return [{"role": "system", "content": treatment.arm.system_prompt}, *messages]
