"""Reads a JSON Schema document: checks its size and its meta-schema, and resolves references.

The package `referencing` resolves references, including `$id` and `$anchor`. Nothing is fetched: a
reference that leaves the document is refused.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import Group, Literal
from referencing.jsonschema import DRAFT202012

from enginehouse.json_depth import is_shallow

MAX_CHARACTERS = 131_072
MAX_DEPTH = 64
_TOO_DEEP = f"the schema is nested deeper than {MAX_DEPTH} levels"
_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
)

Resolver = Any  # referencing's `_core.Resolver`, which has no public name


@dataclass(frozen=True, slots=True)
class Subschema:
    """A schema inside the document, with the resolver of its references.

    Attributes:
        place: its location as a JSON Pointer.
    """

    schema: dict[str, Any] | bool
    resolver: Resolver
    place: str


class Document:
    """A valid document. Its subschemas are numbered, see `Literal`."""

    def __init__(self, text: str) -> None:
        """Parse and validate a schema.

        Raises:
            SchemaRefusedError: if it is not JSON, is too large, or is not a schema of draft
            2020-12.
        """
        schema = _read(text)
        if not is_shallow(schema, MAX_DEPTH - 1):
            raise SchemaRefusedError(_TOO_DEEP)
        dialect = schema.get("$schema") if isinstance(schema, dict) else None
        if isinstance(dialect, str) and dialect.rstrip("#") not in _DIALECTS:
            raise SchemaRefusedError(
                f"'$schema' is {dialect[:100]!r}: give draft 2020-12's, or none"
            )
        try:
            # Without format checks: patterns follow ECMA-262 and are checked by `pattern.py`.
            jsonschema.Draft202012Validator.check_schema(
                schema, format_checker=jsonschema.FormatChecker(formats=())
            )
        except jsonschema.SchemaError as error:
            place = pointer(error.absolute_path)
            raise SchemaRefusedError(
                f"the schema is wrong at {place}: {error.message[:300]}"
            ) from None
        self._subschemas: list[Subschema] = []
        self._numbers: dict[tuple[int, str], int] = {}
        resource = DRAFT202012.create_resource(schema)
        registry: referencing.Registry[Any] = referencing.Registry()
        resolver = registry.with_resource("", resource).resolver_with_root(resource)
        self.root = self._literal(schema, resolver, "")
        self.false = self._literal(False, resolver, "")

    def at(self, literal: Literal) -> Subschema:
        """The subschema of a literal."""
        return self._subschemas[literal.number]

    def child(self, parent: Subschema, schema: Any, *path: str | int) -> Literal:
        """A subschema at `path` inside of `parent`."""
        place = parent.place + "".join(f"/{escaped(str(part))}" for part in path)
        return self._literal(schema, parent.resolver, place)

    def group(self, parent: Subschema, schema: Any, *path: str | int) -> Group:
        """The group of one child; empty if the child allows every value."""
        if schema is True or schema == {}:
            return frozenset()
        return frozenset({self.child(parent, schema, *path)})

    def target(self, parent: Subschema, reference: str) -> Literal:
        """The subschema that a reference points to.

        Raises:
            SchemaRefusedError: if the target is not in the document or is not a schema.
        """
        place = f"'$ref' at {parent.place or '/'} is {reference[:200]!r}"
        try:
            found = parent.resolver.lookup(reference)
        except referencing.exceptions.Unresolvable:
            raise SchemaRefusedError(
                f"{place}: only references into the schema work, and nothing is there"
            ) from None
        if not isinstance(found.contents, dict | bool):
            raise SchemaRefusedError(f"{place}: the target is not a schema")
        return self._literal(found.contents, found.resolver, parent.place)

    def _literal(self, schema: Any, resolver: Resolver, place: str) -> Literal:
        if isinstance(schema, dict) and isinstance(schema.get("$id"), str):
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        key = (id(schema), resolver._base_uri)  # noqa: SLF001
        if key not in self._numbers:
            self._numbers[key] = len(self._subschemas)
            self._subschemas.append(Subschema(schema, resolver, place))
        return Literal(self._numbers[key])


def _read(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise SchemaRefusedError(
            f"the schema has {len(text)} characters, {MAX_CHARACTERS} are allowed"
        )
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise SchemaRefusedError(
            f"the schema is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise SchemaRefusedError(_TOO_DEEP) from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise SchemaRefusedError(f"the schema holds a number that is too long: {error}") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise SchemaRefusedError(f"the schema holds the number {text[:40]}, which is not finite")
    return value


def pointer(path: Any) -> str:
    """A path as a JSON Pointer (RFC 6901); `/` for the whole document."""
    return "".join(f"/{escaped(str(part))}" for part in path) or "/"


def escaped(name: str) -> str:
    """A name escaped for a JSON Pointer."""
    return name.replace("~", "~0").replace("/", "~1")
