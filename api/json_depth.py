"""How deep JSON may be nested: what walks through it later does so by recursion."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

MOST_LEVELS = 64


def is_shallow(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Whether a JSON value has at most so many levels of objects and lists."""
    nodes = [value]
    for _ in range(levels + 1):
        nodes = [
            child
            for node in nodes
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not nodes:
            return True
    return False


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    if not is_shallow(value):
        raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
    return value


#: A JSON Schema of a request.
Schema = Annotated[dict[str, Any], AfterValidator(_shallow)]
