"""Translates subschemas into shapes: each keyword constrains the JSON types that it applies to.

A group of subschemas becomes a list of shapes, and a value must fit one of them. References are
followed, `allOf` and sibling keywords are intersected, `anyOf` and `type` add alternatives, and
`not` and `if` are rewritten by De Morgan's laws. A keyword that cannot be expressed is refused with
its location.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from enginehouse.engine.json_schema import keywords
from enginehouse.engine.json_schema.document import Document, Subschema
from enginehouse.engine.json_schema.enumerated import Values
from enginehouse.engine.json_schema.evaluated import unevaluated_members
from enginehouse.engine.json_schema.negation import Negation
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import (
    TOPS,
    Group,
    JsonType,
    KeyMap,
    Literal,
    ObjectShape,
    Shape,
    other_kinds,
)

_MOST = 512


class Alternatives:
    """Computes the shapes of groups of a document's subschemas."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._values = Values(self)
        self._negation = Negation(self)
        self._known: dict[Group, tuple[Shape, ...]] = {}
        self._open: set[Group] = set()

    def of(self, group: Group) -> tuple[Shape, ...]:
        """The shapes of a group: a value fits the group exactly if it fits one of them.

        Raises:
            SchemaRefusedError: if a keyword cannot be enforced; names its location.
        """
        if group not in self._known:
            if group in self._open:
                place = self.document.at(min(group)).place or "/"
                raise SchemaRefusedError(f"the schema at {place} refers to itself without end")
            self._open.add(group)
            shapes = self.everything()
            for literal in sorted(group):
                shapes = self.met(shapes, self._single(literal))
            self._open.discard(group)
            self._known[group] = tuple(shapes)
        return self._known[group]

    def everything(self) -> list[Shape]:
        """One unconstrained shape for each JSON type."""
        return list(TOPS.values())

    def met(self, one: Iterable[Shape], other: Iterable[Shape]) -> list[Shape]:
        """The pairwise intersections of two lists of shapes."""
        others = list(other)
        found: dict[Shape, None] = {}
        for left in one:
            for right in others:
                both = self._values.meet(left, right) if left.kind == right.kind else None
                if both is not None:
                    found[both] = None
            if len(found) > _MOST:
                raise SchemaRefusedError(
                    f"the schema has more than {_MOST} combinations: use fewer 'anyOf', 'oneOf' "
                    "and 'allOf' within each other"
                )
        return list(found)

    def _single(self, literal: Literal) -> Iterable[Shape]:
        node = self.document.at(literal)
        if isinstance(node.schema, bool):
            return self.everything() if node.schema == literal.positive else []
        keywords.check(node)
        if not literal.positive:
            return self._negation.of(node)
        return self._positive(node, node.schema)

    def _positive(self, node: Subschema, schema: dict[str, Any]) -> list[Shape]:
        shapes = keywords.simple(self.document, node)
        if "enum" in schema or "const" in schema:
            shapes = self.met(shapes, self._values.listed(schema))
        for part in self._branching(node, schema):
            shapes = self.met(shapes, part)
        return shapes

    def _branching(self, node: Subschema, schema: dict[str, Any]) -> Iterable[Iterable[Shape]]:
        if "$ref" in schema:
            yield self.of(frozenset({self.document.target(node, schema["$ref"])}))
        for index, child in enumerate(schema.get("allOf", ())):
            yield self.of(frozenset({self.document.child(node, child, "allOf", index)}))
        if "anyOf" in schema:
            yield self.any_of(self.children(node, "anyOf"))
        if "oneOf" in schema:
            yield self._one_of(self.children(node, "oneOf"))
        if "not" in schema:
            yield self.of(frozenset({self.document.child(node, schema["not"], "not").negated()}))
        if "if" in schema:
            yield self._conditional(node, schema)
        yield from self._dependent(node, schema)
        yield from unevaluated_members(self.document, node)

    def children(self, node: Subschema, keyword: str) -> list[Literal]:
        """The subschemas of a keyword whose value is a list of schemas."""
        assert isinstance(node.schema, dict)  # noqa: S101 - a boolean has no keywords
        listed = node.schema.get(keyword, ())
        return [self.document.child(node, child, keyword, i) for i, child in enumerate(listed)]

    def any_of(self, literals: Iterable[Literal]) -> list[Shape]:
        """The union of the literals' shapes, without duplicates."""
        found = dict.fromkeys(shape for item in literals for shape in self.of(frozenset({item})))
        return list(found)

    def _one_of(self, literals: list[Literal]) -> list[Shape]:
        """`oneOf`: each branch together with the negation of the branches that overlap with it."""
        found: dict[Shape, None] = {}
        for literal in literals:
            others = {
                other.negated()
                for other in literals
                if other is not literal and self.possible(frozenset({literal, other}))
            }
            found |= dict.fromkeys(self.of(frozenset({literal, *others})))
        return list(found)

    def possible(self, group: Group) -> bool:
        """False if certainly no value fits a group; True otherwise."""
        return any(self._fits_something(shape, 3) for shape in self.of(group))

    def _fits_something(self, shape: Shape, depth: int) -> bool:
        if isinstance(shape, ObjectShape) and depth:
            for name in shape.required:
                group = keywords.member(shape, name)
                if group is not None and not self._group_possible(group, depth - 1):
                    return False
        return True

    def _group_possible(self, group: Group, depth: int) -> bool:
        if group in self._open:
            return True
        return any(self._fits_something(shape, depth) for shape in self.of(group))

    def _conditional(self, node: Subschema, schema: dict[str, Any]) -> list[Shape]:
        condition = self.document.child(node, schema["if"], "if")
        branches = []
        for keyword, literal in (("then", condition), ("else", condition.negated())):
            group = {literal}
            if keyword in schema:
                group.add(self.document.child(node, schema[keyword], keyword))
            branches.append(frozenset(group))
        if "then" not in schema and "else" not in schema:
            return self.everything()
        return list(dict.fromkeys(shape for group in branches for shape in self.of(group)))

    def _dependent(self, node: Subschema, schema: dict[str, Any]) -> Iterable[list[Shape]]:
        others = other_kinds(JsonType.OBJECT)
        for name, needed in schema.get("dependentRequired", {}).items():
            yield [*others, self.absent(name), ObjectShape(required=tuple(needed))]
        for name, child in schema.get("dependentSchemas", {}).items():
            literal = self.document.child(node, child, "dependentSchemas", name)
            yield [*others, self.absent(name), *self._objects(literal)]

    def _objects(self, literal: Literal) -> list[Shape]:
        return [s for s in self.of(frozenset({literal})) if s.kind is JsonType.OBJECT]

    def absent(self, name: str) -> ObjectShape:
        """The shape of objects without a member of this name."""
        return ObjectShape(maps=(KeyMap(properties=((name, frozenset({self.document.false})),)),))
