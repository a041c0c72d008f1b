"""Refusals with a reason: of fields of OpenAI's, and of fields that do not go together."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def refused(reason: str) -> BeforeValidator:
    """For a field of type None: anything else is refused, with this reason."""

    def check(value: Any) -> Any:
        if value is not None:
            raise PydanticCustomError("unsupported_parameter", "{reason}", {"reason": reason})
        return value

    return BeforeValidator(check)


def refused_unless(allowed: Any, reason: str, *also: Any) -> BeforeValidator:
    """For a field that has a value, or several, which change nothing: others are refused."""

    def check(value: Any) -> Any:
        if value is not None and value not in (allowed, *also):
            raise PydanticCustomError("unsupported_parameter", "{reason}", {"reason": reason})
        return value

    return BeforeValidator(check)


def wrong(field: str, reason: str) -> PydanticCustomError:
    """For a validator of a whole model to raise: the error names the field that it speaks of."""
    return PydanticCustomError("wrong_field", "{reason}", {"reason": reason, "field": field})
