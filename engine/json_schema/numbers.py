"""Automata over the digits of numbers within bounds.

A bounded number is written without exponent and, unless it is whole, with at most 15 digits. IEEE
754's double precision distinguishes 15 digits. A bound that holds for the digits therefore also
holds for the number that a client parses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from enginehouse.engine.json_schema.automaton import Dfa, explored
from enginehouse.engine.json_schema.charset import CharSet
from enginehouse.engine.json_schema.pattern import Node, parse
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import NumberShape

_EXACT_DIGITS = 15
_MOST_DIGITS = 64
_MULTIPLE_DIGITS = 18
MAX_MULTIPLE = 1_000
_SYMBOLS = "-.0123456789"
_CLASSES = tuple(CharSet.of(symbol) for symbol in _SYMBOLS)
#: Any number that is short enough to be a finite double.
ANY_NUMBER: Node = parse(r"-?(0|[1-9][0-9]{0,63})(\.[0-9]{1,64})?([eE][+\-]?[0-9]{1,2})?")


def spelled(value: Decimal) -> str:
    """The spelling of a number: no exponent, and no fraction if it is whole."""
    if value == value.to_integral_value():
        return str(int(value))
    return format(value.normalize(), "f")


@dataclass(frozen=True, slots=True)
class _Bound:
    """The digits of a bound on the absolute value.

    Attributes:
        open: whether the bound itself is excluded.
    """

    whole: str
    fraction: str
    open: bool


@dataclass(frozen=True, slots=True)
class _State:
    """The state after a prefix of a number.

    Attributes:
        phase: "start", "sign", "zero" (a leading 0), "whole", "point", "fraction".
        digits: number of digits read, as far as a limit depends on it.
        places: digits of the current part, while a comparison depends on it.
        low, high: comparison of the digits with each bound: -1 (below), 0 (equal), 1 (above).
        remainder: of the division by the multiple.
        nonzero: whether the fraction has a digit other than 0.
    """

    phase: str = "start"
    negative: bool = False
    digits: int = 0
    places: int = 0
    low: int = 0
    high: int = 0
    remainder: int = 0
    nonzero: bool = False


def number_dfa(shape: NumberShape) -> Dfa:
    """The automaton of the numbers that a shape allows.

    Raises:
        SchemaRefusedError: if a multiple or a bound is too large.
    """
    if shape.multiple > MAX_MULTIPLE:
        raise SchemaRefusedError(f"'multipleOf' is above {MAX_MULTIPLE}")
    reader = _Reader(shape)
    return explored([_State()], _CLASSES, reader.follow, reader.ends)


class _Reader:
    """The transition and acceptance functions of one shape's automaton."""

    def __init__(self, shape: NumberShape) -> None:
        self._shape = shape
        self._whole = shape.integer is True or shape.multiple > 1
        self._limit = _EXACT_DIGITS
        if self._whole:
            self._limit = _MOST_DIGITS if shape.multiple == 1 else _MULTIPLE_DIGITS
        zero = (Decimal(0), True)
        low = (shape.low, shape.low_open) if shape.low is not None else None
        high = (shape.high, shape.high_open) if shape.high is not None else None
        self._bounds = {
            False: (_digits(low), _digits(high, upper=True), high is not None and high[0] < 0),
            True: (
                _digits((-high[0], high[1]) if high is not None and high[0] < 0 else zero),
                _digits((-low[0], low[1]) if low is not None else None, upper=True),
                low is not None and low[0] >= 0,
            ),
        }

    def follow(self, state: _State, symbol: int) -> _State | None:
        character = _SYMBOLS[symbol]
        if character == "-":
            possible = state.phase == "start" and not self._bounds[True][2]
            return replace(state, phase="sign", negative=True) if possible else None
        if self._bounds[state.negative][2]:
            return None
        if character == ".":
            return self._point(state)
        return self._digit(state, int(character))

    def ends(self, state: _State) -> bool:
        if state.phase in {"start", "sign", "point"}:
            return False
        if self._shape.integer is False and not state.nonzero:
            return False
        if state.remainder:
            return False
        settled = self._settled(state) if state.phase in {"zero", "whole"} else state
        if settled is None:
            return False
        low, high, _ = self._bounds[state.negative]
        above = self._within(1, settled.low, low, settled)
        return above and self._within(-1, settled.high, high, settled)

    def _within(self, side: int, seen: int, bound: _Bound | None, state: _State) -> bool:
        """Whether a complete number is on `side` of a bound: 1 for above, -1 for below."""
        if bound is None:
            return True
        found = side * self._against(seen, bound, state)
        return found > 0 or (found == 0 and not bound.open)

    def _against(self, seen: int, bound: _Bound, state: _State) -> int:
        """Compare a complete number with a bound. It is smaller if the bound has further digits."""
        if seen == 0 and bound.fraction[state.places :].strip("0"):
            return -1
        return seen

    def _digit(self, state: _State, digit: int) -> _State | None:
        if state.phase == "zero" or state.digits >= self._limit:
            return None
        fraction = state.phase in {"point", "fraction"}
        phase = (
            "fraction" if fraction else ("zero" if state.digits == 0 and digit == 0 else "whole")
        )
        low, high, _ = self._bounds[state.negative]
        found = replace(
            state,
            phase=phase,
            digits=state.digits + 1,
            places=state.places + 1,
            low=_compared(state.low, low, digit, state.places, fraction=fraction),
            high=_compared(state.high, high, digit, state.places, fraction=fraction),
            remainder=(state.remainder * 10 + digit) % self._shape.multiple,
            nonzero=state.nonzero or (fraction and digit > 0 and self._shape.integer is False),
        )
        return self._forgotten(found)

    def _point(self, state: _State) -> _State | None:
        if self._whole or state.phase not in {"zero", "whole"} or state.digits >= self._limit:
            return None
        settled = self._settled(state)
        return None if settled is None else replace(settled, phase="point")

    def _settled(self, state: _State) -> _State | None:
        """The state after the whole part, in which the longer of number and bound is larger."""
        low, high, _ = self._bounds[state.negative]
        below = 1 if low is None else _by_length(state.low, state.places, len(low.whole))
        above = -1 if high is None else _by_length(state.high, state.places, len(high.whole))
        if below < 0 or above > 0:
            return None
        return replace(state, low=below, high=above, places=0)

    def _forgotten(self, state: _State) -> _State | None:
        """Reset fields that no longer matter, so that equivalent states are equal."""
        low, high, _ = self._bounds[state.negative]
        if state.phase == "fraction":
            if (low is not None and state.low < 0) or (high is not None and state.high > 0):
                return None
            open_ = (low is not None and state.low == 0) or (high is not None and state.high == 0)
            return state if open_ else replace(state, places=0)
        if high is not None and state.places > len(high.whole):
            return None
        return state


def _digits(bound: tuple[Decimal, bool] | None, *, upper: bool = False) -> _Bound | None:
    """The digits of a bound; None if it does not restrict the numbers of this sign.

    Raises:
        SchemaRefusedError: if the bound has too many digits.
    """
    if bound is None or bound[0] < 0:
        return None
    whole, _, fraction = format(bound[0], "f").partition(".")
    if len(whole) > _MOST_DIGITS:
        if upper:
            return None
        raise SchemaRefusedError(f"a bound has more than {_MOST_DIGITS} digits")
    return _Bound(whole.lstrip("0") or "0", fraction.rstrip("0"), bound[1])


def _compared(seen: int, bound: _Bound | None, digit: int, place: int, *, fraction: bool) -> int:
    if bound is None or seen:
        return seen
    digits = bound.fraction if fraction else bound.whole
    if place >= len(digits):
        return int(digit > 0) if fraction else seen
    return (digit > int(digits[place])) - (digit < int(digits[place]))


def _by_length(seen: int, places: int, length: int) -> int:
    if places != length:
        return 1 if places > length else -1
    return seen
