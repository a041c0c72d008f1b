"""Error messages for wrong values, worded like those of OpenAI's API, which clients match.

A message contains the value only if it is short: a body may be long, and private.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from enginehouse.requests.branches import Chosen, Error

_MOST_SHOWN = 80
_MOST_SENTENCE = 400
_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "a boolean"),
    ((int,), "an integer"),
    ((float,), "a decimal number"),
    ((str,), "a string"),
    ((list, tuple), "an array"),
    ((dict,), "an object"),
)
#: pydantic's error type → what was expected.
_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "tuple_type": "an array",
    "set_type": "an array",
    "frozen_set_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": ("below_min_value", "below minimum", ">=", "ge"),
    "greater_than": ("below_min_value", "below minimum", ">", "gt"),
    "less_than_equal": ("above_max_value", "above maximum", "<=", "le"),
    "less_than": ("above_max_value", "above maximum", "<", "lt"),
}
Told = tuple[str, str]


def sentence(chosen: Chosen, name: str) -> Told:
    """OpenAI's error code, and a message that names the field."""
    kind = chosen.error["type"]
    told = _BY_TYPE.get(kind, _by_default)(chosen, repr(name))
    if kind in _EXPECTED:
        told = _other_type(chosen, repr(name))
    code, text = told
    return code, text if len(text) <= _MOST_SENTENCE else f"{text[:_MOST_SENTENCE]}…"


def shown(value: Any) -> str:
    """A value for a message: the value itself if it is short, else its type and size."""
    if isinstance(value, dict):
        return f"an object with {_several(len(value), 'property', 'properties')}"
    if isinstance(value, list | tuple):
        return f"an array with length {len(value)}"
    if isinstance(value, str):
        return repr(value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}…")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_MOST_SHOWN:
        return f"an integer of more than {_MOST_SHOWN} digits"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _several(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def kind_of(value: Any) -> str:
    """The JSON type of a value, with an article."""
    return next((name for types, name in _KINDS if isinstance(value, types)), "null")


def _listed(words: Iterable[str], joint: str = "or") -> str:
    *head, last = dict.fromkeys(words)
    return last if not head else f"{', '.join(head)} {joint} {last}"


def _expected(error: Error) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    return _EXPECTED.get(error["type"], str(error["msg"]))


def _other_type(chosen: Chosen, name: str) -> Told:
    wanted = [_expected(error) for error in (chosen.error, *chosen.others)]
    one_of = "one of " if len(set(wanted)) > 1 else ""
    got = kind_of(chosen.value)
    text = isinstance(chosen.value, str) and chosen.error["type"].endswith("_parsing")
    got = f"{got}, {shown(chosen.value)}," if text else got
    return (
        "invalid_type",
        f"Invalid type for {name}: expected {one_of}{_listed(wanted)}, but got {got} instead.",
    )


def _missing(_: Chosen, name: str) -> Told:
    return "missing_required_parameter", f"Missing required parameter: {name}."


def _unknown(_: Chosen, name: str) -> Told:
    return "unknown_parameter", f"Unknown parameter: {name}. Remove it."


def _literal(chosen: Chosen, name: str) -> Told:
    if chosen.others or not isinstance(chosen.value, str | int | float | bool):
        return _other_type(chosen, name)
    values = str(chosen.error["ctx"]["expected"])
    return (
        "invalid_value",
        f"Invalid value for {name}: {shown(chosen.value)}. Supported values are: {values}.",
    )


def _tag(chosen: Chosen, name: str) -> Told:
    context = chosen.error["ctx"]
    return (
        "invalid_value",
        (
            f"Invalid value for {name}: {shown(context['tag'])}. Supported values are: "
            f"{context['expected_tags']}."
        ),
    )


def _bound(chosen: Chosen, name: str) -> Told:
    code, what, sign, key = _BOUNDS[chosen.error["type"]]
    limit, value = chosen.error["ctx"][key], chosen.value
    # Six digits are used only if they are exact: the largest float32 below 1 is not 1.
    short = f"{limit:g}"
    least = short if isinstance(limit, float) and float(short) == limit else str(limit)
    number = "integer" if isinstance(limit, int) else "decimal"
    return (
        f"{number}_{code}",
        (
            f"Invalid {name}: {number} {what} value. Expected a value {sign} {least}, but got "
            f"{shown(value)} instead."
        ),
    )


def _size(chosen: Chosen, name: str) -> Told:
    """Message for a wrong number of array or object elements."""
    context = chosen.error["ctx"]
    kind, unit = ("object", "properties") if isinstance(chosen.value, dict) else ("array", "length")
    long = chosen.error["type"] == "too_long"
    if not chosen.value:
        return f"empty_{kind}", f"Invalid {name}: empty {kind}. Expected at least one item."
    limit = context["max_length" if long else "min_length"]
    code = f"{kind}_{'above_max' if long else 'below_min'}_{unit}"
    what, bound = ("long", "maximum") if long else ("short", "minimum")
    return (
        code,
        (
            f"Invalid {name}: {kind} too {what}. Expected an {kind} with {bound} length {limit}, "
            f"but got {shown(chosen.value)} instead."
        ),
    )


def _length(chosen: Chosen, name: str) -> Told:
    """Message for a wrong length of a string."""
    context, value = chosen.error["ctx"], chosen.value
    if not value:
        return "empty_string", f"Invalid {name}: empty string. Give at least one character."
    long = chosen.error["type"] == "string_too_long"
    limit = context["max_length" if long else "min_length"]
    code, what, bound = (
        ("string_above_max_length", "long", "maximum")
        if long
        else ("string_below_min_length", "short", "minimum")
    )
    return (
        code,
        (
            f"Invalid {name}: string too {what}. Expected a string with {bound} length {limit}, "
            f"but got a string with length {len(value)} instead."
        ),
    )


def _pattern(chosen: Chosen, name: str) -> Told:
    pattern = chosen.error["ctx"]["pattern"]
    return (
        "invalid_value",
        (
            f"Invalid {name}: string does not match pattern. Expected a string that matches the "
            f"pattern '{pattern}', but got {shown(chosen.value)} instead."
        ),
    )


def _far(chosen: Chosen, name: str) -> Told:
    return "invalid_value", (
        f"Invalid {name}: the number is out of range. Expected a finite number of at most 64 bits, "
        f"but got {shown(chosen.value)} instead."
    )


def _refused(chosen: Chosen, name: str) -> Told:
    return "unsupported_parameter", f"Unsupported parameter: {name}: {chosen.error['msg']}"


def _raised(chosen: Chosen, name: str) -> Told:
    """Message for a `ValueError` raised by one of our validators."""
    return "invalid_value", f"Invalid {name}: {chosen.error['ctx']['error']}"


def _by_default(chosen: Chosen, name: str) -> Told:
    told = isinstance(chosen.value, str | int | float)
    got = f" (got {shown(chosen.value)})" if told else ""
    return "invalid_value", f"Invalid {name}: {chosen.error['msg']}{got}"


_BY_TYPE: Mapping[str, Callable[[Chosen, str], Told]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _literal,
    "enum": _literal,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _missing,
    **dict.fromkeys(_BOUNDS, _bound),
    "too_long": _size,
    "too_short": _size,
    "string_too_long": _length,
    "string_too_short": _length,
    "string_pattern_mismatch": _pattern,
    "finite_number": _far,
    "int_parsing_size": _far,
    "unsupported_parameter": _refused,
    "value_error": _raised,
}
