"""The rule for what clients send, see docs/openai-fields.md; every request model has one of these.

- `null` is always "left out", whatever the field, known or not.
- What a client says is a `RequestModel`: an unknown field is refused by its name.
- What a client got from an answer and sends back is a `ReturnedModel`: it is taken with whatever
  else it carries, since SDKs, frameworks and other servers add fields of their own to it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema


def without_nulls(value: Any) -> Any:
    """An object without the fields that are null; anything else as it is.

    Only one level: inside of free values, such as schemas and arguments, null has a meaning.
    """
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if item is not None}
    return value


#: For a field that holds an object with the caller's own keys.
NullsLeftOut = BeforeValidator(without_nulls)


def _or_nothing(value: Any) -> Any:
    return None if value == [] else value


#: For a list that may be left out: an empty one says the same.
EmptyIsLeftOut = BeforeValidator(_or_nothing)
#: A hint that changes nothing here, whatever it says.
Hint = Annotated[Any, "accepted"]


#: Of these, one wrong item is enough to refuse a request.
_COLLECTIONS = {"list", "set", "frozenset"}


def _stop_at_first(schema: Any) -> None:
    """Have every list of a core schema say what is wrong with one item, not with each.

    A body of a megabyte may hold 500,000 wrong items. For each, pydantic makes an error for every
    member of a union, which takes seconds and gigabytes, also where another member takes the list.
    """
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            # A field may be named type as well.
            if isinstance(kind := one.get("type"), str) and kind in _COLLECTIONS:
                one["fail_fast"] = True
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


class _NullsLeftOut(BaseModel):
    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """See pydantic, and `_stop_at_first`."""
        schema = handler(source)
        _stop_at_first(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, value: Any) -> Any:
        return without_nulls(value)


class RequestModel(_NullsLeftOut):
    """What a client asks for: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class ReturnedModel(_NullsLeftOut):
    """A part of an answer that a client sends back: fields that are not read are let through."""

    model_config = ConfigDict(extra="ignore")
