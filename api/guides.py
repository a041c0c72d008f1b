"""Constraints on the answer, under the names that clients know them by."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel
from enginehouse.api.json_depth import Schema
from pydantic import Field

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import Guide, GuideKind


class TextFormat(RequestModel):
    """`response_format` of plain text."""

    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    """`response_format` of any JSON object."""

    type: Literal["json_object"]


class NamedSchema(RequestModel):
    """A JSON Schema as OpenAI wraps it; it is always enforced, whatever `strict` says."""

    name: str
    description: str | None = None
    json_schema: Annotated[Schema, Field(alias="schema")]
    strict: bool | None = None


class JsonSchemaFormat(RequestModel):
    """`response_format` of a JSON Schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


class Guided(RequestModel):
    """`guided_json`, `guided_regex` and `guided_grammar`, under vLLM's names for them."""

    guided_json: Schema | str | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None

    def guide(self, response_format: ResponseFormat | None) -> tuple[Guide | None, str | None]:
        """The one constraint that is asked for, and the field that asks.

        Raises:
            InvalidRequestError: if there are several.
        """
        asked = dict(self._asked())
        if response_format is not None and response_format.type != "text":
            asked["response_format"] = _from_format(response_format)
        if len(asked) > 1:
            raise InvalidRequestError(
                f"{' and '.join(asked)} are given: an answer can have one constraint",
                field=next(iter(asked)),
            )
        for field, guide in asked.items():
            return guide, field
        return None, None

    def _asked(self) -> list[tuple[str, Guide]]:
        found = []
        if self.guided_json is not None:
            given = self.guided_json
            text = given if isinstance(given, str) else json.dumps(given)
            found.append(("guided_json", Guide(GuideKind.JSON_SCHEMA, text)))
        if self.guided_regex is not None:
            found.append(("guided_regex", Guide(GuideKind.REGEX, self.guided_regex)))
        if self.guided_grammar is not None:
            found.append(("guided_grammar", Guide(GuideKind.EBNF_GRAMMAR, self.guided_grammar)))
        return found


def response_schema(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    """The JSON Schema that an answer has to follow; None if it is free."""
    if isinstance(response_format, JsonSchemaFormat):
        return response_format.json_schema.json_schema
    if isinstance(response_format, JsonObjectFormat):
        return {"type": "object", "additionalProperties": True}
    return None


def _from_format(response_format: ResponseFormat) -> Guide:
    if isinstance(response_format, JsonSchemaFormat):
        schema = response_format.json_schema.json_schema
        return Guide(GuideKind.JSON_SCHEMA, json.dumps(schema))
    return Guide(GuideKind.JSON, "")
