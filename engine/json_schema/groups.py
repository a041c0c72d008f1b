"""What one keyword may ask about the subschemas beside it and below it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from enginehouse.engine.json_schema.document import Document, Subschema
from enginehouse.engine.json_schema.shapes import Group, Literal, ObjectShape, Shape


class GroupShapes(Protocol):
    """The shapes of every group of a document's subschemas; `Alternatives` computes them."""

    document: Document

    def of(self, group: Group) -> tuple[Shape, ...]:
        """The shapes of a group: a value fits the group exactly if it fits one of them.

        Raises:
            SchemaRefusedError: for a keyword that cannot be enforced, with its place.
        """
        ...

    def met(self, one: Iterable[Shape], other: Iterable[Shape]) -> list[Shape]:
        """The shapes of values that fit a shape of each list."""
        ...

    def any_of(self, literals: Iterable[Literal]) -> list[Shape]:
        """The shapes of each literal, one after another."""
        ...

    def children(self, node: Subschema, keyword: str) -> list[Literal]:
        """The subschemas of a keyword that holds a list of them."""
        ...

    def absent(self, name: str) -> ObjectShape:
        """Objects without a member of this name."""
        ...
