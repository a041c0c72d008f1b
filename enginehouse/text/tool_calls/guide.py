"""Constraints that make an answer consist of calls: a JSON Schema of the calls that tools allow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.generation import Guide, GuideKind
from enginehouse.text.tool_calls.closed_schema import closed

#: Most calls in one answer; small models do not stop by themselves.
MOST_CALLS = 8
#: Name of the response format among the tools. It contains a dot, so that no tool can have it.
_FORMAT = "response.format"


def calls_guide(
    tools: Sequence[Mapping[str, Any]], arguments_key: str, *, only: str | None, parallel: bool
) -> Guide:
    """The answer is one call, or a list of 1 to `MOST_CALLS`; see `ToolFormat.guide`."""
    schema = _calls(tools, arguments_key, only=only, several=parallel and only is None)
    return Guide(GuideKind.JSON_SCHEMA, json.dumps(schema | {"$defs": _parameters(tools)}))


def calls_or_guide(
    tools: Sequence[Mapping[str, Any]],
    arguments_key: str,
    response: Mapping[str, Any],
    *,
    parallel: bool,
) -> Guide:
    """The answer is a list of calls, or an object that matches the schema `response`."""
    calls = _calls(tools, arguments_key, only=None, several=True)
    if not parallel:
        calls["maxItems"] = 1
    schemas = {**_parameters(tools), _FORMAT: _moved(response, f"/$defs/{_FORMAT}")}
    either = {"anyOf": [calls, {"$ref": f"#/$defs/{_FORMAT}"}], "$defs": schemas}
    return Guide(GuideKind.JSON_SCHEMA, json.dumps(either))


def _calls(
    tools: Sequence[Mapping[str, Any]], arguments_key: str, *, only: str | None, several: bool
) -> dict[str, Any]:
    names = [tool["function"]["name"] for tool in tools]
    allowed = [_call(name, arguments_key) for name in names if only in {None, name}]
    item = allowed[0] if len(allowed) == 1 else {"anyOf": allowed}
    if not several:
        return item
    return {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_CALLS}


def _call(name: str, arguments_key: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, arguments_key: {"$ref": f"#/$defs/{name}"}},
        "required": ["name", arguments_key],
        "additionalProperties": False,
    }


def _parameters(tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each tool's parameters, by its name."""
    found = {}
    for tool in tools:
        function = tool["function"]
        given = function.get("parameters")
        schema = {"type": "object", **({"properties": {}} if given is None else given)}
        if given is None or given.get("type", "object") == "object":
            schema = closed(schema)
        found[function["name"]] = _moved(schema, f"/$defs/{function['name']}")
    return found


def _moved(schema: Any, place: str) -> Any:
    """A schema moved to another place; references to its root are rewritten to that place."""
    if isinstance(schema, Mapping):
        return {
            key: f"#{place}{value[1:]}"
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, place)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    return schema
