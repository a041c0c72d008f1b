"""Fields of the error object, from pydantic's list of errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.requests.branches import Chosen, Error, choose
from enginehouse.requests.field_path import field_path
from enginehouse.requests.sentences import kind_of, sentence

#: Key of the field's name in the context of an error raised by a model validator; see `wrong`.
FIELD = "field"
_ROOT = "body"
_TAGGED = {"union_tag_invalid", "union_tag_not_found"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Fields of OpenAI's error object; `param` is None if the body as a whole is wrong."""

    message: str
    param: str | None
    code: str


def problem_of(errors: Sequence[Error], body: Any) -> Problem:
    """The error to report.

    Args:
        errors: pydantic's errors, at least one, with `loc` relative to `body`.
        body: the validated body.
    """
    chosen = choose(errors, body)
    name = field_path(_place(chosen)) or None
    if name is None:
        return _of_the_body(chosen)
    code, message = sentence(chosen, name)
    return Problem(message, name, code)


def _place(chosen: Chosen) -> tuple[str | int, ...]:
    context = chosen.error.get("ctx") or {}
    if FIELD in context:
        return (*chosen.place, str(context[FIELD]))
    if chosen.error["type"] in _TAGGED:
        # pydantic quotes the name of a discriminator; a function has no name.
        field = str(context.get("discriminator", "")).strip("'")
        return (*chosen.place, field) if field.isidentifier() else chosen.place
    return chosen.place


def _of_the_body(chosen: Chosen) -> Problem:
    if chosen.error["type"] == "missing" or chosen.value is None:
        message = "The body is missing: send a JSON object."
        return Problem(message, None, "missing_required_parameter")
    if not isinstance(chosen.value, dict):
        message = f"Invalid type for the body: expected an object, but got {kind_of(chosen.value)}."
        return Problem(message, None, "invalid_type")
    code, message = sentence(chosen, _ROOT)
    return Problem(message, None, code)
