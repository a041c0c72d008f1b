"""Of all errors that pydantic lists, the one that fits what was sent.

For a union pydantic lists the errors of every member, with a tag for the member in their place
(`loc`). A tag is told from a field by the body itself: a field is there, or is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Error = Mapping[str, Any]
Step = str | int
#: Errors that say that a value is of another JSON type, so that this member was not meant.
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
    """One error.

    Attributes:
        place: fields and indexes from the body to the value; no tags.
        value: what stands there; None if nothing does.
        others: what other members of a union say of the same value, where none takes its type.
    """

    error: Error
    place: tuple[Step, ...]
    value: Any
    others: tuple[Error, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class _Fit:
    """How well a member of a union fits; the greatest is the one that was meant."""

    of_its_kind: bool
    of_its_type: bool
    of_its_values_type: bool
    depth: int
    fewer: int
    index: int


def choose(errors: Sequence[Error], body: Any) -> Chosen:
    """The error to tell of; `errors` are those of one request, with `loc` relative to `body`."""
    return _choose(list(errors), 0, (), body)


def _choose(errors: list[Error], depth: int, place: tuple[Step, ...], value: Any) -> Chosen:
    """Of errors that share their `loc` up to `depth`."""
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
    # A word that is none of a list of words is one of them by its type.
    if not below and chosen.error["type"] == "literal_error":
        other_type = not isinstance(chosen.value, str)
    index = next((step for step in below if isinstance(step, int)), -1)
    fits = chosen.error["type"] not in _OTHER_TYPE
    return _Fit(not kinds, not other_type, fits, len(below), -len(errors), index)


def _holds(value: Any, step: Step) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)
