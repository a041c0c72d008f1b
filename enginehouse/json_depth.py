"""Nesting depth of JSON, checked before code walks through it recursively."""

from __future__ import annotations

from typing import Any


def is_shallow(value: Any, levels: int) -> bool:
    """Whether a JSON value has at most `levels` levels of objects and lists."""
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
