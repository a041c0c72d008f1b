"""Runs: bounded repetitions of a character or a group that are cheap to compile.

The compiler computes a mask for each grammar position, and unrolls its own counted repetitions. A
run has one position for most of its length and `_LAST` positions for its end.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from enginehouse.engine.json_schema.charset import CharSet
from enginehouse.engine.json_schema.counting import any_number, exactly, up_to
from enginehouse.engine.json_schema.grammar import GuideGrammar, Many, Option, Ref, Symbol

#: Units at the end of a bounded run that are written one by one. Tokens with more units than this
#: are checked at run time. With 12 a mask took 18 ms instead of 1.6 ms for SmolLM2's vocabulary.
_LAST = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """What is repeated.

    Attributes:
        key: identifies the unit.
        options: its alternatives.
    """

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
        """A unit repeated `least` to `most` times (None: no limit), followed by `end`."""
        if most is None:
            begun = exactly(self._grammar, self._body(unit), least)
            return (*begun, self._without_limit(unit, end))
        if most <= _LAST:
            return (self._tail(unit, least, most, end),)
        sure = min(least, most - _LAST)
        begun = exactly(self._grammar, self._body(unit), sure)
        return (*begun, self._optional(unit, least - sure, most - sure, end))

    def _optional(self, unit: Unit, least: int, most: int, end: Option) -> Ref:
        """Up to `most` units, of which the last `_LAST` are written one by one.

        The last ones are reached only after all the others. If they could be entered from every
        unit, the compiler would have to merge the masks of all of them at each step.
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
        """A unit together with the end, since many vocabularies have a token for both."""
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
        """The last units, written one by one up to the bound."""

        def options() -> list[Option]:
            found = [end] if least <= 0 else []
            if most:
                following = self._tail(unit, max(least - 1, 0), most - 1, end)
                found += [(*option, following) for option in unit.options]
            return found

        return self._grammar.rule((unit.key, "tail", least, most, end), options)

    def _body(self, unit: Unit) -> Ref:
        """One unit after which at least `_LAST` more are allowed.

        The look-ahead of the rule lets the compiler accept every token of such units without a
        check at run time. The compiler uses a look-ahead only if a single sequence refers to the
        rule, and not at its end (`IsExactLookaheadAssertion`). At the begin of a sequence the rule
        would be inlined. It is therefore placed between two empty rules.
        """

        def options() -> list[Option]:
            one = self._grammar.rule((unit.key, "body"), lambda: unit.options)
            self._grammar.look_ahead(one, (unit.rule(self._grammar),) * _LAST)
            nothing = self._grammar.rule("empty", lambda: [()])
            return [(nothing, one, nothing)]

        return self._grammar.rule((unit.key, "sure"), options)
