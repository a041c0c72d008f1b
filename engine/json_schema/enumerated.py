"""`enum` and `const`: translates values into shapes, and tests values against shapes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from enginehouse.engine.json_schema import keywords
from enginehouse.engine.json_schema.groups import GroupShapes
from enginehouse.engine.json_schema.shapes import (
    ArrayShape,
    BooleanShape,
    Group,
    JsonType,
    NullShape,
    NumberShape,
    ObjectShape,
    Shape,
    StringPart,
    StringShape,
    ValueShape,
    item_at,
    meet,
)


class Values:
    """Shapes of single values, and their intersections with other shapes."""

    def __init__(self, groups: GroupShapes) -> None:
        self._groups = groups

    def listed(self, schema: dict[str, Any]) -> list[Shape]:
        """The shapes of the values that `enum` and `const` of one schema allow."""
        lists = [schema["enum"]] if "enum" in schema else []
        if "const" in schema:
            lists.append([schema["const"]])
        shapes = self.shapes(lists[0])
        for values in lists[1:]:
            shapes = self._groups.met(shapes, self.shapes(values))
        return shapes

    def shapes(self, values: list[Any]) -> list[Shape]:
        """One shape for each value; all strings share one shape."""
        texts = frozenset(value for value in values if isinstance(value, str))
        strings = StringShape(frozenset({StringPart(None, texts)}))
        found = [strings if isinstance(value, str) else _shape(value) for value in values]
        return list(dict.fromkeys(found))

    def meet(self, one: Shape, other: Shape) -> Shape | None:
        """The intersection of two shapes, one of them a `ValueShape`; None if it is empty."""
        if isinstance(one, ValueShape) and isinstance(other, ValueShape):
            return one if equal(json.loads(one.text), json.loads(other.text)) else None
        if isinstance(other, ValueShape):
            one, other = other, one
        if isinstance(one, ValueShape):
            return one if self.fits(json.loads(one.text), other) else None
        return meet(one, other)

    def fits(self, value: Any, shape: Shape) -> bool:
        """Whether a value fits a shape."""
        match shape:
            case NullShape():
                return value is None
            case BooleanShape(values):
                return isinstance(value, bool) and value in values
            case NumberShape():
                number = isinstance(value, int | float) and not isinstance(value, bool)
                return number and shape.admits(keywords.decimal(value))
            case StringShape():
                return isinstance(value, str) and string_fits(value, shape)
            case ArrayShape():
                return isinstance(value, list) and self._array_fits(value, shape)
            case ObjectShape():
                return isinstance(value, dict) and self._object_fits(value, shape)
            case ValueShape(_, text):
                return equal(value, json.loads(text))

    def fits_group(self, value: Any, group: Group) -> bool:
        """Whether a value fits all subschemas of a group."""
        return any(self.fits(value, shape) for shape in self._groups.of(group))

    def _array_fits(self, value: list[Any], shape: ArrayShape) -> bool:
        size = len(value) >= shape.least and (shape.most is None or len(value) <= shape.most)
        items = all(self.fits_group(item, item_at(shape, i)) for i, item in enumerate(value))
        unique = shape.unique is None or not any(
            equal(item, other) for i, item in enumerate(value) for other in value[:i]
        )
        counts = [(sum(self.fits_group(v, c.group) for v in value), c) for c in shape.contained]
        held = all(n >= c.least and (c.most is None or n <= c.most) for n, c in counts)
        return size and items and unique and held

    def _object_fits(self, value: dict[str, Any], shape: ObjectShape) -> bool:
        size = len(value) >= shape.least and (shape.most is None or len(value) <= shape.most)
        return (
            size
            and all(name in value for name in shape.required)
            and all(self.fits_group(name, shape.names) for name in value)
            and all(
                self.fits_group(item, keywords.member(shape, name) or frozenset())
                for name, item in value.items()
            )
        )


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 equals 1.0, and a boolean never equals a number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


def _shape(value: Any) -> Shape:
    if value is None:
        return NullShape()
    if isinstance(value, bool):
        return BooleanShape(frozenset({value}))
    if isinstance(value, int | float):
        number = keywords.decimal(value)
        return NumberShape(low=number, high=number)
    kind = JsonType.ARRAY if isinstance(value, list) else JsonType.OBJECT
    return ValueShape(kind, json.dumps(value, ensure_ascii=False))


def string_fits(text: str, shape: StringShape) -> bool:
    """Whether a string fits a shape."""
    if len(text) < shape.least or (shape.most is not None and len(text) > shape.most):
        return False
    return all(part_holds(part, text) for part in shape.parts)


def part_holds(part: StringPart, text: str) -> bool:
    """Whether a string satisfies one constraint."""
    found = text in part.words if part.pattern is None else keywords.found_in(part.pattern, text)
    return found == part.positive


def point(shape: NumberShape) -> Decimal | None:
    """The only number that a shape allows; None if it allows several."""
    return shape.low if shape.low is not None and shape.low == shape.high else None
