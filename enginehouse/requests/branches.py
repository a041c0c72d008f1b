"""Selects, of all errors that pydantic lists, the one that fits the request.

For a union pydantic lists the errors of every member, with a tag for the member in their location
(`loc`). The body tells a tag from a field: a field is present there, or is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Error = Mapping[str, Any]
Step = str | int
#: Errors for a value of another JSON type: the caller did not mean this member of the union.
_OTHER_TYPE = {
    "string_type", "int_type", "float_type", "bool_type", "list_type", "dict_type", "none_required",
    "model_type", "model_attributes_type", "int_parsing", "float_parsing", "bool_parsing",
    "int_from_float", "tuple_type", "set_type", "frozen_set_type",
}  # fmt: skip
#: Fields by which the members of OpenAI's unions differ.
_KINDS = {"type", "role", "object"}
_KEY = "[key]"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The selected error.

    Attributes:
        place: fields and indexes from the body to the value, without tags.
        value: the value at that place; None if there is none.
        others: errors of other members of a union for the same value, if none accepts its type.
    """

    error: Error
    place: tuple[Step, ...]
    value: Any
    others: tuple[Error, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class _Fit:
    """How well a member of a union fits; the greatest is taken as the intended one."""

    of_its_kind: bool
    of_its_type: bool
    of_its_values_type: bool
    depth: int
    fewer: int
    index: int


def choose(errors: Sequence[Error], body: Any) -> Chosen:
    """Select an error; `errors` are those of one request, with `loc` relative to `body`."""
    return _choose(list(errors), 0, (), body)


def _choose(errors: list[Error], depth: int, place: tuple[Step, ...], value: Any) -> Chosen:
    """Select among errors whose `loc` agrees up to `depth`."""
    here = [error for error in errors if len(error["loc"]) == depth]
    if here:
        return Chosen(here[0], place, value)
    first = errors[0]
    step = first["loc"][depth]
    same = [error for error in errors if error["loc"][depth] == step]
    if _holds(value, step):
        return _choose(same, depth + 1, (*place, step), value[step])
    if len(first["loc"]) == depth + 1 and first["type"] == "missing":
        return Chosen(first, (*place, step), None)
    if step == _KEY:
        return Chosen(first, place, place[-1] if place else None)
    return _of_union(errors, depth, place, value)


def _of_union(errors: list[Error], depth: int, place: tuple[Step, ...], value: Any) -> Chosen:
    members: dict[Step, list[Error]] = {}
    for error in errors:
        step = error["loc"][depth]
        if not _holds(value, step):
            members.setdefault(step, []).append(error)
    found = [(of_one, _choose(of_one, depth + 1, place, value)) for of_one in members.values()]
    fits = [_fit(of_one, chosen, place) for of_one, chosen in found]
    best = found[max(range(len(found)), key=fits.__getitem__)][1]
    if best.error["type"] not in {*_OTHER_TYPE, "literal_error"}:
        return best
    others = tuple(
        one.error
        for _, one in found
        if one is not best and one.place == best.place and one.error["type"] in _OTHER_TYPE
    )
    fitting = best.error["type"] == "literal_error" and isinstance(best.value, str)
    return replace(best, others=() if fitting else (*best.others, *others))


def _fit(errors: Sequence[Error], chosen: Chosen, place: tuple[Step, ...]) -> _Fit:
    below = chosen.place[len(place) :]
    kinds = any(e["type"] == "literal_error" and e["loc"][-1] in _KINDS for e in errors)
    other_type = not below and chosen.error["type"] in _OTHER_TYPE
    # A string that is not among the allowed values still has the right type.
    if not below and chosen.error["type"] == "literal_error":
        other_type = not isinstance(chosen.value, str)
    index = next((step for step in below if isinstance(step, int)), -1)
    fits = chosen.error["type"] not in _OTHER_TYPE
    return _Fit(not kinds, not other_type, fits, len(below), -len(errors), index)


def _holds(value: Any, step: Step) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
