"""The interface through which keywords get the shapes of neighbouring and nested subschemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from enginehouse.engine.json_schema.document import Document, Subschema
from enginehouse.engine.json_schema.shapes import Group, Literal, ObjectShape, Shape


class GroupShapes(Protocol):
    """Computes the shapes of groups of a document's subschemas; implemented by `Alternatives`."""

    document: Document

    def of(self, group: Group) -> tuple[Shape, ...]:
        """The shapes of a group: a value fits the group exactly if it fits one of them.

        Raises:
            SchemaRefusedError: if a keyword cannot be enforced; names its location.
        """
        ...

    def met(self, one: Iterable[Shape], other: Iterable[Shape]) -> list[Shape]:
        """The pairwise intersections of two lists of shapes."""
        ...

    def any_of(self, literals: Iterable[Literal]) -> list[Shape]:
        """The union of the literals' shapes, without duplicates."""
        ...

    def children(self, node: Subschema, keyword: str) -> list[Literal]:
        """The subschemas of a keyword whose value is a list of schemas."""
        ...

    def absent(self, name: str) -> ObjectShape:
        """The shape of objects without a member of this name."""
        ...
