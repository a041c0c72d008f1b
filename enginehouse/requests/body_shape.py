"""Bounds on how many values a JSON body has, checked before any schema looks at it.

Validation costs far more for each value than parsing: pydantic makes an error for every unknown
field and tries every member of a union on every item. The bounds hold for all routes and all
fields, known or not, so that the cost of a body does not depend on its schema. They are far above
what clients send; a schema may be narrower.
"""

from __future__ import annotations

from typing import Any

from enginehouse.errors import InvalidRequestError
from enginehouse.requests.field_path import field_path

#: Fields of one object.
MOST_FIELDS = 1_024
#: Items of one list, unless all are numbers, as in a prompt of token ids.
MOST_ITEMS = 4_096
#: Objects and lists in the whole body.
MOST_CONTAINERS = 32_768

_Path = tuple[str | int, ...]


def check_shape(body: Any) -> None:
    """Refuse a body with too many values; the first place that is too large ends the check.

    Raises:
        InvalidRequestError: names the place, how many values it has, and the bound.
    """
    seen = 0
    waiting: list[tuple[_Path, Any]] = [((), body)]
    while waiting:
        path, one = waiting.pop()
        if not isinstance(one, dict | list):
            continue
        seen += 1
        _check_one(path, one)
        waiting += [((*path, place), child) for place, child in _containers(one)]
        if seen + len(waiting) > MOST_CONTAINERS:
            raise _refused(path[:1], f"more than {MOST_CONTAINERS} objects and lists")


def _check_one(path: _Path, one: dict[str, Any] | list[Any]) -> None:
    if isinstance(one, dict):
        if len(one) > MOST_FIELDS:
            raise _refused(path, f"{len(one)} fields; at most {MOST_FIELDS} are taken")
    elif len(one) > MOST_ITEMS and not all(isinstance(item, int | float) for item in one):
        raise _refused(path, f"{len(one)} items; at most {MOST_ITEMS} are taken")


def _containers(one: dict[str, Any] | list[Any]) -> list[tuple[str | int, Any]]:
    items = one.items() if isinstance(one, dict) else enumerate(one)
    return [(place, child) for place, child in items if isinstance(child, dict | list)]


def _refused(path: _Path, what: str) -> InvalidRequestError:
    where = field_path(path) or None
    return InvalidRequestError(
        f"Invalid {where or 'body'!r}: it has {what}. Send less in one request", field=where
    )
