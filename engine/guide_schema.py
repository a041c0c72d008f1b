"""Checks of a JSON Schema before it becomes a grammar: every refusal names the place.

The grammar compiler passes over keywords that it does not know, and the answer would then break
the schema without a word. So only keywords that it enforces, and those that constrain nothing,
are let through (mlc-ai/xgrammar 0.1.31, `cpp/json_schema_converter.cc`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema

from enginehouse.errors import InvalidRequestError

_FIELD = "guided_decoding_guide"
_MAX_DEPTH = 64
_MAX_CHARACTERS = 131_072
_ANNOTATIONS = frozenset(
    {
        "$schema", "$id", "$comment", "$anchor", "title", "description", "default", "examples",
        "example", "deprecated", "readOnly", "writeOnly", "discriminator", "strict",
    }
)  # fmt: skip
_ENFORCED = frozenset(
    {
        "type", "enum", "const", "format", "pattern", "minLength", "maxLength",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "unevaluatedProperties",
        "items", "prefixItems", "minItems", "maxItems", "unevaluatedItems",
        "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions",
    }
)  # fmt: skip
_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("additionalProperties", "propertyNames", "unevaluatedProperties", "items",
            "unevaluatedItems")  # fmt: skip


def check_schema(text: str) -> None:
    """Refuse what is no schema, or what the compiler would not enforce.

    Raises:
        InvalidRequestError: with line and column, or a JSON Pointer (RFC 6901), of the place.
    """
    if len(text) > _MAX_CHARACTERS:
        raise _refused(f"the schema has {len(text)} characters, {_MAX_CHARACTERS} are allowed")
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(
            f"the schema is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _refused(f"the schema is nested deeper than {_MAX_DEPTH} levels") from None
    _check_depth(schema)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = _pointer(error.absolute_path)
        raise _refused(f"the schema is wrong at {place}: {error.message}") from None
    for place, node in _subschemas(schema, ""):
        _check_keywords(place, node)


def _check_depth(value: Any) -> None:
    level, nodes = 0, [value]
    while nodes:
        level += 1
        if level > _MAX_DEPTH:
            raise _refused(f"the schema is nested deeper than {_MAX_DEPTH} levels")
        nodes = [
            child
            for node in nodes
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]


def _subschemas(node: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    yield place or "/", node
    for key in _MAPS_OF_SCHEMAS:
        for name, child in (node.get(key) or {}).items():
            yield from _subschemas(child, f"{place}/{key}/{_escaped(name)}")
    for key in _LISTS_OF_SCHEMAS:
        for index, child in enumerate(node.get(key) or ()):
            yield from _subschemas(child, f"{place}/{key}/{index}")
    for key in _SCHEMAS:
        yield from _subschemas(node.get(key), f"{place}/{key}")


def _check_keywords(place: str, node: dict[str, Any]) -> None:
    for keyword in node:
        if keyword not in _ENFORCED and keyword not in _ANNOTATIONS:
            raise _refused(f"keyword {keyword!r} at {place} cannot be enforced: leave it out")
    for name in node.get("properties", ()):
        if '"' in name or "\\" in name:
            raise _refused(f"the property {name!r} at {place} holds a quote or a backslash")
    if node.get("enum") == []:
        raise _refused(f"'enum' at {place} is empty: nothing can match it")
    if len(node.get("allOf", ())) > 1:
        raise _refused(f"'allOf' at {place} has several schemas: merge them into one")
    if "pattern" in node and ("minLength" in node or "maxLength" in node):
        raise _refused(f"'pattern' at {place} stands with a length: put the length into it")
    if "patternProperties" in node and "properties" in node:
        raise _refused(f"'patternProperties' at {place} stands with 'properties': use one")
    reference = node.get("$ref")
    if reference is not None and not reference.startswith("#"):
        raise _refused(f"'$ref' at {place} is {reference!r}: only references into the schema work")


def _pointer(path: Any) -> str:
    return "".join(f"/{_escaped(str(part))}" for part in path) or "/"


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _refused(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, field=_FIELD)
