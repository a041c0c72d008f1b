"""Fields of OpenAI's requests that are refused, each with its reason."""

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
