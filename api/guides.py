"""Constraints on the answer, under the names that clients know them by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel
from enginehouse.api.json_depth import Schema
from enginehouse.api.refused import refused, refused_unless
from pydantic import Field, model_validator

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import Guide, GuideKind
from enginehouse.text.tool_calls.closed_schema import closed


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


_MOST_CHOICES = 256
_MOST_CHARACTERS = 4096
#: Texts of which the answer is exactly one.
Choices = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=_MOST_CHARACTERS)]],
    Field(min_length=1, max_length=_MOST_CHOICES),
]


class StructuredOutputs(RequestModel):
    """`structured_outputs`, vLLM's newer name for the `guided_…` fields: one kind of constraint.

    Attributes:
        disable_fallback, disable_any_whitespace: accepted; there is one compiler, and JSON comes
            without free white space.
    """

    json_: Annotated[Schema | str | None, Field(alias="json")] = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_fallback: bool | None = None
    disable_any_whitespace: bool | None = None
    disable_additional_properties: Annotated[
        Literal[False] | None,
        refused_unless(False, "say additionalProperties: false in the schema"),
    ] = None
    whitespace_pattern: Annotated[
        None, refused("JSON comes without free white space: leave it out")
    ] = None
    structural_tag: Annotated[None, refused("give a grammar, or tools")] = None

    @model_validator(mode="after")
    def _one_kind(self) -> StructuredOutputs:
        given = [name for name, _ in self.asked()]
        if len(given) != 1:
            shown = " and ".join(given) or "none"
            raise ValueError(
                f"give one of json, regex, choice, grammar and json_object, not {shown}"
            )
        return self

    def asked(self) -> list[tuple[str, Guide]]:
        """The constraints that are given, by their names."""
        found = _known_guides(self.json_, self.regex, self.grammar, self.choice)
        return found + ([("json_object", Guide(GuideKind.JSON, ""))] if self.json_object else [])


class Guided(RequestModel):
    """`structured_outputs`, and `guided_…`, vLLM's older names for what it holds."""

    guided_json: Schema | str | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None
    guided_choice: Choices | None = None
    guided_json_object: bool | None = None
    structured_outputs: StructuredOutputs | None = None

    def guide(self, response_format: ResponseFormat | None) -> tuple[Guide | None, str | None]:
        """The one constraint that is asked for, and the field that asks.

        Raises:
            InvalidRequestError: if there are several. One under several names is one: clients
                give it under vLLM's older and newer name at once.
        """
        asked = dict(self._asked())
        if response_format is not None and response_format.type != "text":
            asked["response_format"] = _from_format(response_format)
        if len(set(asked.values())) > 1:
            raise InvalidRequestError(
                f"{' and '.join(asked)} are given: an answer can have one constraint",
                field=next(iter(asked)),
            )
        for field, guide in asked.items():
            return guide, field
        return None, None

    def _asked(self) -> list[tuple[str, Guide]]:
        older = _known_guides(
            self.guided_json, self.guided_regex, self.guided_grammar, self.guided_choice
        )
        found = [(f"guided_{name}", guide) for name, guide in older]
        if self.guided_json_object:
            found.append(("guided_json_object", Guide(GuideKind.JSON, "")))
        if self.structured_outputs is not None:
            found += [("structured_outputs", guide) for _, guide in self.structured_outputs.asked()]
        return found


def _known_guides(
    schema: dict[str, Any] | str | None,
    regex: str | None,
    grammar: str | None,
    choice: Sequence[str] | None,
) -> list[tuple[str, Guide]]:
    """The constraints that are given, by the names that both forms share."""
    found: list[tuple[str, Guide]] = []
    if schema is not None:
        text = schema if isinstance(schema, str) else json.dumps(schema)
        found.append(("json", Guide(GuideKind.JSON_SCHEMA, text)))
    if regex is not None:
        found.append(("regex", Guide(GuideKind.REGEX, regex)))
    if grammar is not None:
        found.append(("grammar", Guide(GuideKind.EBNF_GRAMMAR, grammar)))
    if choice is not None:
        found.append(("choice", Guide(GuideKind.EBNF_GRAMMAR, _one_of(choice))))
    return found


def _one_of(choice: Sequence[str]) -> str:
    """A grammar of these texts; a JSON string is a literal of the grammar's language too."""
    literals = dict.fromkeys(json.dumps(text, ensure_ascii=False) for text in choice)
    return f"root ::= {' | '.join(literals)}"


def response_schema(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    """The JSON Schema that an answer has to follow; None if it is free."""
    if isinstance(response_format, JsonSchemaFormat):
        return response_format.json_schema.json_schema
    if isinstance(response_format, JsonObjectFormat):
        return {"type": "object", "additionalProperties": True}
    return None


def _from_format(response_format: ResponseFormat) -> Guide:
    if isinstance(response_format, JsonSchemaFormat):
        named = response_format.json_schema
        schema = closed(named.json_schema) if named.strict else named.json_schema
        return Guide(GuideKind.JSON_SCHEMA, json.dumps(schema))
    return Guide(GuideKind.JSON, "")
