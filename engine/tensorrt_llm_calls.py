"""Calls of TensorRT-LLM as data.

The runtime executes them (`make`), the dry run prints them as Python (`source`), and the contract
tests look up every name in them (`walk`). All three therefore use the same calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class VendorEnumMember:
    """A member of an enumeration of TensorRT-LLM."""

    module: str
    enum: str
    name: str


@dataclass(frozen=True, slots=True)
class VendorCall:
    """A class or function of TensorRT-LLM and its keyword arguments."""

    module: str
    name: str
    arguments: Mapping[str, Any]


def make(value: Any) -> Any:
    """Execute a call, and first the calls in its arguments; other values are returned unchanged."""
    match value:
        case VendorCall():
            function = getattr(importlib.import_module(value.module), value.name)
            return function(**{name: make(item) for name, item in value.arguments.items()})
        case VendorEnumMember():
            return getattr(getattr(importlib.import_module(value.module), value.enum), value.name)
        case _:
            return value


def walk(value: Any) -> Iterable[VendorCall | VendorEnumMember]:
    """A call and every call and enumeration member in its arguments."""
    if isinstance(value, VendorCall):
        yield value
        for item in value.arguments.values():
            yield from walk(item)
    elif isinstance(value, VendorEnumMember):
        yield value


def source(call: VendorCall) -> str:
    """The call as Python source: the imports, then `llm = …`."""
    needed = sorted({_import_of(item) for item in walk(call)})
    imports = [f"from {module} import {name}" for module, name in needed]
    return "\n".join([*imports, "", f"llm = {_expression(call, 0)}", ""])


def _import_of(item: VendorCall | VendorEnumMember) -> tuple[str, str]:
    return (item.module, item.name if isinstance(item, VendorCall) else item.enum)


def _expression(value: Any, depth: int) -> str:
    if isinstance(value, VendorEnumMember):
        return f"{value.enum}.{value.name}"
    if not isinstance(value, VendorCall):
        return repr(value)
    inner, outer = "    " * (depth + 1), "    " * depth
    lines = [f"{inner}{k}={_expression(v, depth + 1)},\n" for k, v in value.arguments.items()]
    return f"{value.name}(\n{''.join(lines)}{outer})"
