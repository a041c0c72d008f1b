"""`unevaluatedProperties` and `unevaluatedItems`, if no branch decides what is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enginehouse.engine.json_schema.document import Document, Subschema
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import (
    ArrayShape,
    Group,
    JsonType,
    KeyMap,
    ObjectShape,
    Shape,
    other_kinds,
)

_BRANCHES = ("anyOf", "oneOf", "if", "dependentSchemas", "not", "contains")
_ALLOWS_ALL: tuple[Any, ...] = (True, {})
_FREE: Group = frozenset()


def unevaluated_members(document: Document, node: Subschema) -> Iterator[list[Shape]]:
    """The shapes that the two keywords add to a schema.

    Raises:
        SchemaRefusedError: if a branching keyword decides which members or items are evaluated.
    """
    assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
    schema = node.schema
    if schema.get("unevaluatedProperties", True) not in _ALLOWS_ALL:
        applied = list(_in_place(document, node, "unevaluatedProperties"))
        if not any("additionalProperties" in found for found in applied):
            rest = document.group(node, schema["unevaluatedProperties"], "unevaluatedProperties")
            members = KeyMap(
                _free(applied, "properties"), _free(applied, "patternProperties"), rest
            )
            yield [*other_kinds(JsonType.OBJECT), ObjectShape(maps=(members,))]
    if schema.get("unevaluatedItems", True) not in _ALLOWS_ALL:
        applied = list(_in_place(document, node, "unevaluatedItems"))
        if not any("items" in found for found in applied):
            rest = document.group(node, schema["unevaluatedItems"], "unevaluatedItems")
            longest = max(len(found.get("prefixItems", ())) for found in applied)
            yield [*other_kinds(JsonType.ARRAY), ArrayShape((_FREE,) * longest, rest)]


def _in_place(
    document: Document,
    node: Subschema,
    keyword: str,
    top: bool = True,  # noqa: FBT001, FBT002
) -> Iterator[dict[str, Any]]:
    """The schema and all schemas that `$ref` and `allOf` apply to the same value."""
    if isinstance(node.schema, bool):
        return
    schema = node.schema
    nested = not top and any(
        name in schema for name in ("unevaluatedProperties", "unevaluatedItems")
    )
    if nested or any(name in schema for name in _BRANCHES):
        raise SchemaRefusedError(
            f"{keyword!r} at {node.place or '/'} stands with a branching keyword, or in two "
            "places: it cannot be enforced there"
        )
    yield schema
    if "$ref" in schema:
        target = document.at(document.target(node, schema["$ref"]))
        if target is node:
            return
        yield from _in_place(document, target, keyword, top=False)
    for index, child in enumerate(schema.get("allOf", ())):
        part = document.at(document.child(node, child, "allOf", index))
        yield from _in_place(document, part, keyword, top=False)


def _free(applied: list[dict[str, Any]], keyword: str) -> tuple[tuple[str, Group], ...]:
    return tuple((name, _FREE) for found in applied for name in found.get(keyword, {}))
