"""The shapes of values that do not fit a schema, that is, violate at least one of its keywords.

Some negations have no shape: that some unnamed member or some item does not fit, that a number is
not a multiple, that a value differs from a listed object. They are refused with their location.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from enginehouse.engine.json_schema import keywords
from enginehouse.engine.json_schema.document import Subschema
from enginehouse.engine.json_schema.groups import GroupShapes
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import (
    TOPS,
    ArrayShape,
    BooleanShape,
    Contained,
    Group,
    JsonType,
    KeyMap,
    NumberShape,
    ObjectShape,
    Shape,
    StringPart,
    StringShape,
)

#: Keywords that have no effect by themselves, or are handled together with another one.
_SILENT = frozenset({"then", "else", "minContains", "maxContains"})
#: The bound that a number outside of another bound satisfies.
_OPPOSITE = {
    "minimum": "exclusiveMaximum",
    "exclusiveMinimum": "maximum",
    "maximum": "exclusiveMinimum",
    "exclusiveMaximum": "minimum",
}


class Negation:
    """The shapes of negated subschemas."""

    def __init__(self, groups: GroupShapes) -> None:
        self._groups = groups

    def of(self, node: Subschema) -> list[Shape]:
        """The shapes of values that do not fit a schema.

        Raises:
            SchemaRefusedError: for a keyword whose negation has no shape.
        """
        assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
        found: dict[Shape, None] = {}
        for keyword, value in node.schema.items():
            if keyword not in _SILENT and keyword not in keywords.ANNOTATIONS:
                found |= dict.fromkeys(self._keyword(node, keyword, value))
        return list(found)

    def _keyword(self, node: Subschema, keyword: str, value: Any) -> Iterable[Shape]:
        if keyword in _OPPOSITE:
            return [keywords.BOUNDS[_OPPOSITE[keyword]](keywords.decimal(value))]
        found = self._sizes(keyword, value)
        if found is not None:
            return found
        match keyword:
            case "type":
                return _other_types(value)
            case "enum":
                return self._none_of(node, value)
            case "const":
                return self._none_of(node, [value])
            case "pattern" | "format":
                return [
                    StringShape(frozenset({replace(part, positive=not part.positive)}))
                    for part in keywords.string(node).parts
                    if part.place.endswith(f"/{keyword}")
                ]
            case "properties" | "required" | "dependentRequired" | "dependentSchemas":
                return self._members(node, keyword, value)
            case "items" | "prefixItems" | "contains":
                return self._items(node, keyword, value)
        return self._applied(node, keyword, value)

    def _sizes(self, keyword: str, value: Any) -> list[Shape] | None:
        match keyword:
            case "minLength":
                return [StringShape(most=int(value) - 1)] if value >= 1 else []
            case "maxLength":
                return [StringShape(least=int(value) + 1)]
            case "minItems":
                return [ArrayShape(most=int(value) - 1)] if value >= 1 else []
            case "maxItems":
                return [ArrayShape(least=int(value) + 1)]
            case "minProperties":
                return [ObjectShape(most=int(value) - 1)] if value >= 1 else []
            case "maxProperties":
                return [ObjectShape(least=int(value) + 1)]
        return None

    def _applied(self, node: Subschema, keyword: str, value: Any) -> Iterable[Shape]:
        groups, document = self._groups, self._groups.document
        match keyword:
            case "$ref":
                return groups.of(frozenset({document.target(node, value).negated()}))
            case "allOf":
                children = groups.children(node, keyword)
                return groups.any_of(child.negated() for child in children)
            case "anyOf":
                children = groups.children(node, keyword)
                return groups.of(frozenset(child.negated() for child in children))
            case "not":
                return groups.of(frozenset({document.child(node, value, keyword)}))
            case "if":
                return self._conditional(node)
        if _says_nothing(keyword, value):
            return []
        raise _refused(node, keyword)

    def _conditional(self, node: Subschema) -> list[Shape]:
        assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
        document = self._groups.document
        condition = document.child(node, node.schema["if"], "if")
        found: dict[Shape, None] = {}
        for keyword, literal in (("then", condition), ("else", condition.negated())):
            if keyword in node.schema:
                broken = document.child(node, node.schema[keyword], keyword).negated()
                found |= dict.fromkeys(self._groups.of(frozenset({literal, broken})))
        return list(found)

    def _none_of(self, node: Subschema, values: list[Any]) -> list[Shape]:
        """All values that are not listed. Refused if an array or object is listed."""
        if any(isinstance(value, list | dict) for value in values):
            raise _refused(node, "enum")
        words = frozenset(value for value in values if isinstance(value, str))
        rest: list[Shape] = [s for k, s in TOPS.items() if k in {JsonType.ARRAY, JsonType.OBJECT}]
        if None not in values:
            rest.append(TOPS[JsonType.NULL])
        booleans = frozenset({True, False}) - {v for v in values if isinstance(v, bool)}
        if booleans:
            rest.append(BooleanShape(booleans))
        rest.append(
            StringShape(frozenset({StringPart(None, words, positive=False)} if words else ()))
        )
        numbers: list[Shape] = [NumberShape()]
        for value in values:
            if isinstance(value, int | float) and not isinstance(value, bool):
                point = keywords.decimal(value)
                sides = [
                    NumberShape(high=point, high_open=True),
                    NumberShape(low=point, low_open=True),
                ]
                numbers = self._groups.met(numbers, sides)
        return rest + numbers

    def _members(self, node: Subschema, keyword: str, value: Any) -> Iterable[Shape]:
        document = self._groups.document
        match keyword:
            case "required":
                return [self._groups.absent(name) for name in value]
            case "properties":
                return [
                    _with_member(
                        name, frozenset({document.child(node, child, keyword, name).negated()})
                    )
                    for name, child in value.items()
                ]
            case "dependentRequired":
                return [
                    replace(self._groups.absent(needed), required=(name,))
                    for name, names in value.items()
                    for needed in names
                ]
        found: dict[Shape, None] = {}
        for name, child in value.items():
            broken = document.child(node, child, keyword, name).negated()
            has: list[Shape] = [ObjectShape(required=(name,))]
            found |= dict.fromkeys(self._groups.met(has, self._groups.of(frozenset({broken}))))
        return list(found)

    def _items(self, node: Subschema, keyword: str, value: Any) -> list[Shape]:
        assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
        document, place = self._groups.document, f"{node.place}/{keyword}"
        if keyword == "prefixItems":
            return [
                ArrayShape(
                    (
                        *[frozenset()] * i,
                        frozenset({document.child(node, item, keyword, i).negated()}),
                    ),
                    least=i + 1,
                )
                for i, item in enumerate(value)
            ]
        child = document.child(node, value, keyword)
        if keyword == "items":
            if "prefixItems" in node.schema:
                raise _refused(node, keyword)
            broken = frozenset({child.negated()})
            return [ArrayShape(contained=(Contained(broken, 1, None, place),), least=1)]
        return self._contains(node, child, place)

    def _contains(self, node: Subschema, child: Any, place: str) -> list[Shape]:
        assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
        least, most = int(node.schema.get("minContains", 1)), node.schema.get("maxContains")
        found: list[Shape] = []
        if least == 1:
            found.append(ArrayShape(rest=frozenset({child.negated()})))
        elif least > 1:
            fewer = Contained(frozenset({child}), 0, least - 1, place)
            found.append(ArrayShape(contained=(fewer,)))
        if most is not None:
            more = Contained(frozenset({child}), int(most) + 1, None, place)
            found.append(ArrayShape(contained=(more,)))
        return found


def _with_member(name: str, group: Group) -> ObjectShape:
    return ObjectShape(maps=(KeyMap(properties=((name, group),)),), required=(name,))


def _says_nothing(keyword: str, value: Any) -> bool:
    if keyword == "uniqueItems":
        return not value
    return keyword not in {"oneOf", "multipleOf", "patternProperties"} and value in (True, {})


def _other_types(value: str | list[str]) -> list[Shape]:
    names = [value] if isinstance(value, str) else value
    found: list[Shape] = [
        shape
        for kind, shape in TOPS.items()
        if kind.value not in names and not (kind is JsonType.NUMBER and "integer" in names)
    ]
    if "integer" in names and "number" not in names:
        found.append(NumberShape(integer=False))
    return found


def _refused(node: Subschema, keyword: str) -> SchemaRefusedError:
    return SchemaRefusedError(
        f"{keyword!r} at {node.place or '/'} stands below 'not', 'if' or overlapping branches of "
        "'oneOf', where it cannot be enforced"
    )
