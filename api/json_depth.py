"""How deep a schema of a request may be nested."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from enginehouse.json_depth import is_shallow

MOST_LEVELS = 64


def _shallow(value: dict[str, Any]) -> dict[str, Any]:
    if not is_shallow(value, MOST_LEVELS):
        raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
    return value


#: A JSON Schema of a request.
Schema = Annotated[dict[str, Any], AfterValidator(_shallow)]
