"""Shapes: all constraints on a value of one JSON type.

Nested schemas are not translated here. They are kept as a `Group`, a set of subschemas that must
all hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum


class JsonType(StrEnum):
    """The types of JSON. JSON Schema's `integer` is a `NUMBER`."""

    NULL = "null"
    BOOLEAN = "boolean"
    NUMBER = "number"
    STRING = "string"
    ARRAY = "array"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, order=True)
class Literal:
    """A subschema of the document by its number; its negation if `positive` is False."""

    number: int
    positive: bool = True

    def negated(self) -> Literal:
        """The negation of this literal."""
        return Literal(self.number, not self.positive)


#: Subschemas that must all hold; the empty group allows every value.
Group = frozenset[Literal]


@dataclass(frozen=True, slots=True)
class NullShape:
    """`null`."""

    kind = JsonType.NULL


@dataclass(frozen=True, slots=True)
class BooleanShape:
    """A boolean among `values`."""

    values: frozenset[bool] = frozenset({True, False})
    kind = JsonType.BOOLEAN


@dataclass(frozen=True, slots=True)
class NumberShape:
    """A number within bounds.

    Attributes:
        low, high: bounds; None means no bound.
        low_open, high_open: whether the bound itself is excluded.
        integer: True allows whole numbers only, False all others only, None both.
        multiple: the value must be a multiple of this whole number.
    """

    low: Decimal | None = None
    low_open: bool = False
    high: Decimal | None = None
    high_open: bool = False
    integer: bool | None = None
    multiple: int = 1
    kind = JsonType.NUMBER

    @property
    def empty(self) -> bool:
        """Whether no number is within the bounds."""
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def admits(self, value: Decimal) -> bool:
        """Whether a number satisfies all constraints."""
        whole = value == value.to_integral_value()
        low = self.low is None or value > self.low or (value == self.low and not self.low_open)
        high = self.high is None or value < self.high or (value == self.high and not self.high_open)
        sort = self.integer is None or self.integer == whole
        return (
            low
            and high
            and sort
            and (self.multiple == 1 or (whole and not int(value) % self.multiple))
        )


@dataclass(frozen=True, slots=True)
class StringPart:
    """One constraint on a string: it matches a pattern, or is one of a set of words.

    Attributes:
        pattern: an ECMA-262 pattern that must occur in the string; None if `words` is used.
        words: the allowed strings, if `pattern` is None.
        positive: False negates the constraint.
        place: location of the keyword, for error messages.
    """

    pattern: str | None
    words: frozenset[str] = frozenset()
    positive: bool = True
    place: str = ""


@dataclass(frozen=True, slots=True)
class StringShape:
    """A string with `least` to `most` characters that satisfies every part."""

    parts: frozenset[StringPart] = frozenset()
    least: int = 0
    most: int | None = None
    kind = JsonType.STRING


@dataclass(frozen=True, slots=True)
class Contained:
    """`contains`: the array has `least` to `most` items that fit the group."""

    group: Group
    least: int
    most: int | None
    place: str


@dataclass(frozen=True, slots=True)
class ArrayShape:
    """An array.

    Attributes:
        first: groups of the first items (`prefixItems`).
        rest: group of all further items.
        least, most: bounds on the number of items; None means no bound.
        contained: the `contains` constraints.
        unique: location of `uniqueItems`, if it is set.
    """

    first: tuple[Group, ...] = ()
    rest: Group = frozenset()
    least: int = 0
    most: int | None = None
    contained: tuple[Contained, ...] = ()
    unique: str | None = None
    kind = JsonType.ARRAY


@dataclass(frozen=True, slots=True)
class KeyMap:
    """The constraints of one schema on an object's members.

    Attributes:
        properties: groups by name, in the order of the schema.
        patterns: groups by pattern; a key may match several.
        rest: group of the keys that have no name in `properties` and match no pattern.
    """

    properties: tuple[tuple[str, Group], ...] = ()
    patterns: tuple[tuple[str, Group], ...] = ()
    rest: Group = frozenset()


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """An object; the constraints of several schemas apply together.

    Attributes:
        maps: the constraints of each schema.
        required: names that must be present.
        names: group of the keys (`propertyNames`).
        least, most: bounds on the number of members; None means no bound.
        place: location of the schema, for error messages.
    """

    maps: tuple[KeyMap, ...] = ()
    required: tuple[str, ...] = ()
    names: Group = frozenset()
    least: int = 0
    most: int | None = None
    place: str = ""
    kind = JsonType.OBJECT


@dataclass(frozen=True, slots=True)
class ValueShape:
    """An array or object of `enum` or `const`, as JSON text."""

    kind: JsonType
    text: str


Shape = NullShape | BooleanShape | NumberShape | StringShape | ArrayShape | ObjectShape | ValueShape

TOPS: dict[JsonType, Shape] = {
    JsonType.NULL: NullShape(),
    JsonType.BOOLEAN: BooleanShape(),
    JsonType.NUMBER: NumberShape(),
    JsonType.STRING: StringShape(),
    JsonType.ARRAY: ArrayShape(),
    JsonType.OBJECT: ObjectShape(),
}


def other_kinds(kind: JsonType) -> list[Shape]:
    """One unconstrained shape for each JSON type except `kind`."""
    return [shape for other, shape in TOPS.items() if other is not kind]


def meet(one: Shape, other: Shape) -> Shape | None:
    """The intersection of two shapes; None if it is certainly empty. Not for `ValueShape`."""
    match one, other:
        case NullShape(), NullShape():
            return one
        case BooleanShape(), BooleanShape():
            values = one.values & other.values
            return BooleanShape(values) if values else None
        case NumberShape(), NumberShape():
            return _numbers(one, other)
        case StringShape(), StringShape():
            most = _least(one.most, other.most)
            least = max(one.least, other.least)
            fits = most is None or least <= most
            return StringShape(one.parts | other.parts, least, most) if fits else None
        case ArrayShape(), ArrayShape():
            return _arrays(one, other)
        case ObjectShape(), ObjectShape():
            return _objects(one, other)
    return None


def _numbers(one: NumberShape, other: NumberShape) -> NumberShape | None:
    lows = [(s.low, s.low_open) for s in (one, other) if s.low is not None]
    highs = [(s.high, not s.high_open) for s in (one, other) if s.high is not None]
    low, low_open = max(lows, default=(None, False))
    high, closed = min(highs, default=(None, True))
    if None not in {one.integer, other.integer} and one.integer != other.integer:
        return None
    integer = one.integer if other.integer is None else other.integer
    multiple = math.lcm(one.multiple, other.multiple)
    if multiple > 1 and integer is False:
        return None
    met = NumberShape(low, low_open, high, not closed, integer, multiple)
    return None if met.empty else met


def _arrays(one: ArrayShape, other: ArrayShape) -> ArrayShape | None:
    places = range(max(len(one.first), len(other.first)))
    most = _least(one.most, other.most)
    least = max(one.least, other.least)
    if most is not None and least > most:
        return None
    return ArrayShape(
        tuple(item_at(one, place) | item_at(other, place) for place in places),
        one.rest | other.rest,
        least,
        most,
        one.contained + tuple(c for c in other.contained if c not in one.contained),
        one.unique or other.unique,
    )


def item_at(shape: ArrayShape, place: int) -> Group:
    """The group of the item at an index, counted from 0."""
    return shape.first[place] if place < len(shape.first) else shape.rest


def _objects(one: ObjectShape, other: ObjectShape) -> ObjectShape | None:
    most = _least(one.most, other.most)
    least = max(one.least, other.least)
    if most is not None and least > most:
        return None
    return replace(
        one,
        maps=one.maps + tuple(found for found in other.maps if found not in one.maps),
        required=tuple(dict.fromkeys(one.required + other.required)),
        names=one.names | other.names,
        least=least,
        most=most,
        place=one.place or other.place,
    )


def _least(one: int | None, other: int | None) -> int | None:
    return min((bound for bound in (one, other) if bound is not None), default=None)
