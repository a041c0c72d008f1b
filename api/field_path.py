"""Places in a request's body, written as OpenAI writes them: ``input[2].content[0].text``."""

from __future__ import annotations

from collections.abc import Iterable

#: pydantic adds the types that it tried; unions of ours have tags with brackets.
_TYPE_NAMES = {"str", "int", "constrained-str"}


def field_path(steps: Iterable[str | int]) -> str:
    """A place; steps that are a type that pydantic tried are left out."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif "[" not in step and step not in _TYPE_NAMES:
            path += f".{step}" if path else step
    return path
