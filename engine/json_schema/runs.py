"""Runs: a character or a group again and again, between bounds, at little cost to the compiler.

The compiler keeps a mask for each place, and unrolls counted repetitions of its own; a run here has
one place for most of it, and `_LAST` places for its end.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from enginehouse.engine.json_schema.charset import CharSet
from enginehouse.engine.json_schema.counting import any_number, exactly, up_to
from enginehouse.engine.json_schema.grammar import GuideGrammar, Many, Option, Ref, Symbol

#: Units at the end of a bounded run that are written one by one. Fewer make every token that is
#: longer a matter of run time: with 12 a mask took 18 ms instead of 1.6 over SmolLM2's vocabulary.
_LAST = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """What is repeated: options of which one is taken, and a key that tells it from others."""

    key: Hashable
    options: tuple[Option, ...]

    def symbols(self, grammar: GuideGrammar) -> Option:
        """The unit once."""
        return self.options[0] if len(self.options) == 1 else (self.rule(grammar),)

    def rule(self, grammar: GuideGrammar) -> Ref:
        """The unit once, in a rule of its own."""
        return grammar.rule((self.key, "one"), lambda: self.options)


class Runs:
    """Writes runs into a grammar."""

    def __init__(self, grammar: GuideGrammar) -> None:
        self._grammar = grammar

    def run(self, unit: Unit, least: int, most: int | None, end: Option) -> Option:
        """A unit from `least` to `most` times (None is without limit), and what ends the run."""
        if most is None:
            begun = exactly(self._grammar, self._body(unit), least)
            return (*begun, self._without_limit(unit, end))
        if most <= _LAST:
            return (self._tail(unit, least, most, end),)
        sure = min(least, most - _LAST)
        begun = exactly(self._grammar, self._body(unit), sure)
        return (*begun, self._optional(unit, least - sure, most - sure, end))

    def _optional(self, unit: Unit, least: int, most: int, end: Option) -> Ref:
        """Units of which the last ones are written one by one, if it comes to them.

        The run ends before, or all the others are there: with both ways into the last ones open
        at every unit, the compiler's masks of all of them would be joined at each step.
        """
        body, longest = self._body(unit), most - _LAST

        def options() -> list[Option]:
            full = exactly(self._grammar, body, longest)
            found: list[Option] = [(*full, self._tail(unit, least, _LAST, end))]
            if longest:
                found.append((*up_to(self._grammar, body, longest - 1), *end))
            if longest and end:
                found.append((*up_to(self._grammar, body, longest - 1), self._last(unit, end)))
            return found

        return self._grammar.rule((unit.key, "optional", least, most, end), options)

    def _last(self, unit: Unit, end: Option) -> Ref:
        """A unit with the end behind it: many vocabularies have both in one token."""
        return self._grammar.rule(
            (unit.key, "last", end), lambda: [(*option, *end) for option in unit.options]
        )

    def _without_limit(self, unit: Unit, end: Option) -> Symbol:
        if not end:
            single = unit.options[0] if len(unit.options) == 1 else ()
            if len(single) == 1 and isinstance(single[0], CharSet):
                return Many(single[0])
            return any_number(self._grammar, unit.rule(self._grammar))
        key = (unit.key, "rest", end)

        def rest() -> list[Option]:
            return [end, *((*option, self._grammar.rule(key, list)) for option in unit.options)]

        return self._grammar.rule(key, rest)

    def _tail(self, unit: Unit, least: int, most: int, end: Option) -> Ref:
        """Up to the bound, unit by unit."""

        def options() -> list[Option]:
            found = [end] if least <= 0 else []
            if most:
                following = self._tail(unit, max(least - 1, 0), most - 1, end)
                found += [(*option, following) for option in unit.options]
            return found

        return self._grammar.rule((unit.key, "tail", least, most, end), options)

    def _body(self, unit: Unit) -> Ref:
        """One unit, behind which at least `_LAST` more are allowed.

        The compiler believes a look-ahead that stands at a rule which one sequence refers to, not
        at its end (`IsExactLookaheadAssertion`), and accepts every token of such units without
        asking at run time. So the rule stands between two empty ones: at the begin of a sequence
        it would be inlined.
        """

        def options() -> list[Option]:
            one = self._grammar.rule((unit.key, "body"), lambda: unit.options)
            self._grammar.look_ahead(one, (unit.rule(self._grammar),) * _LAST)
            nothing = self._grammar.rule("empty", lambda: [()])
            return [(nothing, one, nothing)]

        return self._grammar.rule((unit.key, "sure"), options)
