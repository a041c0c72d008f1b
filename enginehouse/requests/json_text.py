r"""Reads JSON from callers, in the same way for all routes and for the lines of batches.

RFC 8259 leaves some cases to the reader. They are decided here, so that no later code has to handle
them:

- A lone surrogate (``"\ud83d"``, which JavaScript sends if it splits an emoji) becomes U+FFFD, as
  with `TextEncoder` and `String.toWellFormed`. It is not a character, and UTF-8 cannot encode it.
- A number beyond 64 bits, and infinity and NaN as Python and JavaScript write them, are rejected
  with their place. Most other JSON readers would round them silently.
- Nesting deeper than `MOST_LEVELS` is rejected, because later code walks through JSON recursively.
- The text has to be UTF-8.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from enginehouse.errors import InvalidJsonError, InvalidRequestError
from enginehouse.json_depth import is_shallow
from enginehouse.requests.body_shape import check_shape
from enginehouse.requests.field_path import field_path

MOST_LEVELS = 128
#: A body above this is parsed and validated in a thread, so that it does not delay the streams.
OFF_LOOP_BYTES = 65_536
#: Maximum length of a name in an error message.
_MOST_NAME = 64
_BROKEN = "We could not parse the JSON body of your request"
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
#: Escapes in a string, each matched as a whole, so that an escaped backslash begins none.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: Digits of numbers that may be out of range; they may also be inside a string.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


def read_json(raw: bytes) -> Any:
    """Parse JSON; see the module's docstring.

    Raises:
        InvalidJsonError: if it is not JSON.
        InvalidRequestError: names the number that is out of range.
    """
    if _SURROGATE.search(raw):
        raw = _ESCAPE.sub(_well_formed, raw)
    doubtful = _Doubtful()
    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text,
            parse_float=doubtful.decimal,
            parse_constant=doubtful.constant,
            parse_int=doubtful.integer if _LONG_NUMBER.search(raw) else None,
        )
    except UnicodeDecodeError as error:
        raise InvalidJsonError(f"{_BROKEN}: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise InvalidJsonError(f"{_BROKEN}: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _too_deep() from None
    if raw.count(b"[") + raw.count(b"{") > MOST_LEVELS and not is_shallow(value, MOST_LEVELS):
        raise _too_deep()
    if doubtful.found:
        _refuse_number(value)
    return value


def read_body(raw: bytes) -> Any:
    """`read_json` for a request's body, or a line that stands for one: its values are bounded too.

    Raises:
        InvalidJsonError: if it is not JSON.
        InvalidRequestError: names the number that is out of range, or the place that is too large.
    """
    value = read_json(raw)
    check_shape(value)
    return value


class _Doubtful:
    """Parses numbers that JSON permits but later code cannot hold, and records that it did."""

    def __init__(self) -> None:
        self.found = False

    def decimal(self, written: str) -> float:
        value = float(written)
        self.found = self.found or math.isinf(value)
        return value

    def constant(self, written: str) -> float:
        self.found = True
        return float(written)

    def integer(self, written: str) -> float:
        """Parse long integers as floats: Python limits their digits, and is slow."""
        value = int(written) if len(written) <= len(str(_LOWEST)) else math.inf
        self.found = self.found or not _LOWEST <= value <= _HIGHEST
        return value


def well_formed(text: str) -> str:
    """Replace each lone surrogate by U+FFFD in text that does not come from JSON."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _well_formed(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape["lone"] else escape[0]


def _too_deep() -> InvalidJsonError:
    return InvalidJsonError(f"the JSON is nested deeper than {MOST_LEVELS} levels: flatten it")


def _refuse_number(value: Any) -> None:
    for path, number in _numbers(value):
        if not _LOWEST <= number <= _HIGHEST:
            where = field_path(path) or None
            raise InvalidRequestError(
                f"Invalid {where or 'body'!r}: the number is out of range. Expected a finite "
                "number of at most 64 bits",
                field=where,
            )


def _numbers(value: Any) -> Iterator[tuple[tuple[str | int, ...], float]]:
    """Every number with its place, in no particular order."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, dict):
            waiting += [((*path, name[:_MOST_NAME]), child) for name, child in one.items()]
        elif isinstance(one, list):
            waiting += [((*path, index), child) for index, child in enumerate(one)]
        elif isinstance(one, int | float):
            yield path, one
