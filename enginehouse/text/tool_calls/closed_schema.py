"""Objects without members that nobody declared, where the caller means that.

JSON Schema allows an object any further member unless `additionalProperties` says otherwise. The
arguments of a function, and a schema with `strict`, mean the declared ones only: OpenAI asks for
`additionalProperties: false` there (Structured Outputs, "supported schemas").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Beside these an object may have members that another schema declares.
_OPEN = frozenset(
    {
        "additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf",
        "anyOf", "oneOf", "if", "not", "dependentSchemas", "minProperties", "propertyNames",
    }
)  # fmt: skip
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "prefixItems")


def closed(schema: Any) -> Any:
    """A schema whose objects have their declared members only.

    Schemas that are put together from parts (`allOf`) stay as they are: each part declares some
    members, and closed by itself it would forbid those of the others.
    """
    return schema if _composed(schema) else _closed(schema)


def _closed(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for key in _MAPS:
        if isinstance(found.get(key), Mapping):
            found[key] = {name: _closed(child) for name, child in found[key].items()}
    for key in _LISTS:
        if isinstance(found.get(key), list) and "properties" not in found:
            found[key] = [_closed(child) for child in found[key]]
    if "items" in found:
        found["items"] = _closed(found["items"])
    if isinstance(found.get("properties"), Mapping) and not _OPEN & found.keys():
        found["additionalProperties"] = False
    return found


def _composed(schema: Any) -> bool:
    """Whether `allOf`, or a reference with siblings, stands anywhere."""
    if isinstance(schema, Mapping):
        siblings = schema.keys() & {"properties", "required"}
        if "allOf" in schema or ("$ref" in schema and siblings):
            return True
        return any(map(_composed, schema.values()))
    return isinstance(schema, list) and any(map(_composed, schema))
