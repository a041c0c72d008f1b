"""Translates keywords that constrain a single JSON type and do not branch into shapes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from enginehouse.engine.json_schema.automaton import Dfa, matching
from enginehouse.engine.json_schema.document import Document, Subschema
from enginehouse.engine.json_schema.formats import UNSUPPORTED, format_pattern
from enginehouse.engine.json_schema.numbers import MAX_MULTIPLE
from enginehouse.engine.json_schema.pattern import parse
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import (
    TOPS,
    ArrayShape,
    Contained,
    Group,
    JsonType,
    KeyMap,
    NumberShape,
    ObjectShape,
    Shape,
    StringPart,
    StringShape,
    meet,
)

#: Keywords that constrain nothing.
ANNOTATIONS = frozenset(
    {
        "$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "title", "description",
        "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator",
        "strict", "contentEncoding", "contentMediaType", "contentSchema", "$vocabulary",
    }
)  # fmt: skip
_KEPT = frozenset(
    {
        "type", "enum", "const", "format", "pattern", "minLength", "maxLength", "minimum",
        "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "properties", "required",
        "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "unevaluatedProperties", "items", "prefixItems", "minItems", "maxItems",
        "contains", "minContains", "maxContains", "uniqueItems", "unevaluatedItems", "anyOf",
        "oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas",
        "$ref",
    }
)  # fmt: skip

#: The shape of each bound of a number.
BOUNDS: dict[str, Callable[[Decimal], NumberShape]] = {
    "minimum": lambda value: NumberShape(low=value),
    "exclusiveMinimum": lambda value: NumberShape(low=value, low_open=True),
    "maximum": lambda value: NumberShape(high=value),
    "exclusiveMaximum": lambda value: NumberShape(high=value, high_open=True),
}


def check(node: Subschema) -> None:
    """Check that all keywords of a schema are supported.

    Raises:
        SchemaRefusedError: names the first that is not, and its location.
    """
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    for keyword in node.schema:
        if keyword not in _KEPT and keyword not in ANNOTATIONS and not keyword.startswith("x-"):
            raise SchemaRefusedError(
                f"keyword {keyword[:100]!r} at {node.place or '/'} cannot be enforced: leave it out"
            )


def types(schema: dict[str, Any]) -> list[Shape]:
    """The shapes of the types that `type` allows."""
    given = schema.get("type", list(JsonType))
    names = [given] if isinstance(given, str) else given
    found: list[Shape] = [shape for kind, shape in TOPS.items() if kind.value in names]
    if "integer" in names and "number" not in names:
        found.append(NumberShape(integer=True))
    return found


def simple(document: Document, node: Subschema) -> list[Shape]:
    """The shapes of a schema's non-branching keywords."""
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    typed: dict[JsonType, Shape] = {
        JsonType.NUMBER: number(node),
        JsonType.STRING: string(node),
        JsonType.ARRAY: array(document, node),
        JsonType.OBJECT: object_(document, node),
    }
    found = [meet(shape, typed.get(shape.kind, shape)) for shape in types(node.schema)]
    return [shape for shape in found if shape is not None]


def number(node: Subschema) -> NumberShape:
    """The shape of `minimum`, `maximum`, their exclusive forms and `multipleOf`."""
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    shape = NumberShape()
    if "multipleOf" in node.schema:
        shape = NumberShape(integer=True, multiple=_multiple(node))
    for keyword, bound in BOUNDS.items():
        if keyword in node.schema:
            met = meet(shape, bound(decimal(node.schema[keyword])))
            if not isinstance(met, NumberShape):
                # No number is between the bounds: return an empty open interval.
                return NumberShape(Decimal(0), True, Decimal(0), True)
            shape = met
    return shape


def decimal(value: float) -> Decimal:
    """The exact value of a number in the schema: whole numbers exactly, others by shortest digits.

    The shortest digits of a large double are not its value: 1e23 is 99999999999999991611392.
    """
    return Decimal(int(value)) if value == int(value) else Decimal(repr(value))


def _multiple(node: Subschema) -> int:
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    value = node.schema["multipleOf"]
    if value != int(value) or not 1 <= value <= MAX_MULTIPLE:
        raise SchemaRefusedError(
            f"'multipleOf' at {node.place or '/'} is {value}: whole numbers from 1 to "
            f"{MAX_MULTIPLE} work"
        )
    return int(value)


def string(node: Subschema) -> StringShape:
    """The shape of `pattern`, `format` and the length bounds."""
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    schema, place = node.schema, node.place
    parts = set()
    if "pattern" in schema:
        parts.add(_checked(StringPart(schema["pattern"], place=f"{place}/pattern")))
    if "format" in schema:
        if schema["format"] in UNSUPPORTED:
            raise SchemaRefusedError(
                f"'format' at {place or '/'} is {schema['format']!r}, which no grammar keeps: "
                "leave it out, or give a 'pattern'"
            )
        pattern = format_pattern(schema["format"])
        if pattern is not None:
            parts.add(StringPart(pattern, place=f"{place}/format"))
    most = schema.get("maxLength")
    return StringShape(
        frozenset(parts), int(schema.get("minLength", 0)), None if most is None else int(most)
    )


def _checked(part: StringPart) -> StringPart:
    try:
        parse(part.pattern or "")
    except SchemaRefusedError as error:
        raise SchemaRefusedError(f"the pattern at {part.place} is refused: {error}") from None
    return part


def array(document: Document, node: Subschema) -> ArrayShape:
    """The shape of the array keywords, except `unevaluatedItems`."""
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    schema, most = node.schema, node.schema.get("maxItems")
    first = tuple(
        document.group(node, item, "prefixItems", index)
        for index, item in enumerate(schema.get("prefixItems", ()))
    )
    contained: tuple[Contained, ...] = ()
    if "contains" in schema:
        limit = schema.get("maxContains")
        asked = Contained(
            document.group(node, schema["contains"], "contains"),
            int(schema.get("minContains", 1)),
            None if limit is None else int(limit),
            f"{node.place}/contains",
        )
        contained = (asked,) if asked.least or asked.most is not None else ()
    return ArrayShape(
        first,
        document.group(node, schema.get("items", True), "items"),
        int(schema.get("minItems", 0)),
        None if most is None else int(most),
        contained,
        f"{node.place}/uniqueItems" if schema.get("uniqueItems") else None,
    )


def object_(document: Document, node: Subschema) -> ObjectShape:
    """The shape of the object keywords, except `unevaluatedProperties` and dependencies."""
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    schema, most = node.schema, node.schema.get("maxProperties")
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for pattern in patterns:
        _checked(StringPart(pattern, place=f"{node.place}/patternProperties"))
    members = KeyMap(
        tuple(
            (name, document.group(node, child, "properties", name))
            for name, child in properties.items()
        ),
        tuple(
            (name, document.group(node, child, "patternProperties", name))
            for name, child in patterns.items()
        ),
        document.group(node, schema.get("additionalProperties", True), "additionalProperties"),
    )
    return ObjectShape(
        () if members == KeyMap() else (members,),
        tuple(dict.fromkeys(schema.get("required", ()))),
        document.group(node, schema.get("propertyNames", True), "propertyNames"),
        int(schema.get("minProperties", 0)),
        None if most is None else int(most),
        node.place,
    )


def member(shape: ObjectShape, name: str) -> Group | None:
    """The schemas that apply to the member of this name; empty if every value is allowed."""
    found: Group = frozenset()
    for members in shape.maps:
        named = [group for known, group in members.properties if known == name]
        matched = [group for pattern, group in members.patterns if found_in(pattern, name)]
        found = found.union(*(named + matched or [members.rest]))
    return found


@functools.lru_cache(maxsize=256)
def found_by(pattern: str) -> Dfa:
    """The automaton of strings in which a pattern occurs."""
    return matching(parse(pattern), search=True)


def found_in(pattern: str, text: str) -> bool:
    """Whether a pattern occurs in a string."""
    return found_by(pattern).accepts(text)
