r"""Texts as rules: JSON strings with their quotes, and plain texts for regular expressions.

Every character of a JSON string has one spelling: itself, a short escape, or `\u00` and two digits
for the other control characters. So a constraint on the characters is one on their spelling.
"""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.engine.json_schema.automaton import Dfa
from enginehouse.engine.json_schema.charset import ANY, CharSet
from enginehouse.engine.json_schema.counting import any_number, exactly, times, up_to
from enginehouse.engine.json_schema.grammar import Grammar, Many, Option, Ref, Symbol
from enginehouse.engine.json_schema.pattern import Anchor, Chars, Choice, Node, Repeat
from enginehouse.engine.json_schema.pattern import Sequence as Parts

_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_CONTROLS = CharSet.of((0x00, 0x1F))
_SPECIAL = _CONTROLS | CharSet.of('"\\')
#: Characters at the end of a bounded repetition that the compiler gets one by one.
_LAST = 16


@dataclass(frozen=True, slots=True)
class Spelling:
    """How characters are written, and what ends a text."""

    json: bool

    @property
    def end(self) -> Option:
        """What stands behind the last character."""
        return ('"',) if self.json else ()

    def options(self, chars: CharSet) -> list[Option]:
        """The spellings of one character of a set."""
        if not self.json:
            return [(chars,)]
        plain, special = chars - _SPECIAL, chars & _SPECIAL
        found: list[Option] = [(plain,)] if plain else []
        short = "".join(escape for character, escape in _SHORT.items() if character in special)
        if short:
            found.append(("\\", CharSet.of(short)))
        controls = special & _CONTROLS - CharSet.of("".join(_SHORT))
        for high in (0, 1):
            digits = [
                f"{point & 15:x}"
                for low, top in controls.ranges
                for point in range(low, top + 1)
                if point >> 4 == high
            ]
            if digits:
                found.append((f"\\u00{high}", CharSet.of("".join(digits))))
        return found


class Texts:
    """Writes texts into a grammar, in one spelling."""

    def __init__(self, grammar: Grammar, spelling: Spelling) -> None:
        self._grammar = grammar
        self._spelling = spelling

    def literal(self, text: str) -> Option:
        """One text with its end."""
        spelled = ""
        for character in text:
            option = self._spelling.options(CharSet.of(character))[0]
            spelled += "".join(
                chr(part.ranges[0][0]) if isinstance(part, CharSet) else str(part)
                for part in option
            )
        return (spelled + "".join(map(str, self._spelling.end)),)

    def pattern(self, node: Node) -> Option:
        """A whole text that a pattern without anchors matches, with its end."""
        return (*self._node(node), *self._spelling.end)

    def automaton(self, dfa: Dfa) -> Ref:
        """A text that an automaton accepts, with its end."""
        return self._state(dfa, dfa.start)

    def any(self, least: int, most: int | None) -> Option:
        """A text of so many characters, with its end."""
        return self._run(ANY, least, most, self._spelling.end)

    def _state(self, dfa: Dfa, state: int) -> Ref:
        def options() -> list[Option]:
            found = [self._spelling.end] if dfa.accepting[state] else []
            for target, chars in dfa.edges(state).items():
                following = self._state(dfa, target)
                found += [(*option, following) for option in self._spelling.options(chars)]
            return found

        return self._grammar.rule((self._spelling, dfa, state), options)

    def _node(self, node: Node) -> Option:
        match node:
            case Chars(chars):
                options = self._spelling.options(chars & ANY)
                return options[0] if len(options) == 1 else (self._one(chars & ANY),)
            case Parts(parts):
                return tuple(symbol for part in parts for symbol in self._node(part))
            case Choice(options):
                return (
                    self._grammar.rule(
                        (self._spelling, node), lambda: [self._node(option) for option in options]
                    ),
                )
            case Repeat(Chars(chars), least, most):
                return self._run(chars & ANY, least, most, ())
            case Repeat(part, least, most):
                inner = self._node(part)
                if len(inner) == 1:
                    return times(self._grammar, inner[0], least, most)
                group = self._grammar.rule((self._spelling, part), lambda: [inner])
                return times(self._grammar, group, least, most)
            case Anchor():
                raise AssertionError("anchors are taken off before")

    def _one(self, chars: CharSet) -> Ref:
        """One character of a set, in a rule of its own."""
        return self._grammar.rule(
            (self._spelling, "one", chars), lambda: self._spelling.options(chars)
        )

    def _run(self, chars: CharSet, least: int, most: int | None, end: Option) -> Option:
        """Characters of a set, in a number between bounds, and what ends them."""
        if most is None:
            body = self._body(chars)
            return (*exactly(self._grammar, body, least), self._without_limit(chars, end))
        if most <= _LAST:
            return (self._tail(chars, least, most, end),)
        sure = min(least, most - _LAST)
        begun = exactly(self._grammar, self._body(chars), sure)
        return (*begun, self._optional(chars, least - sure, most - sure, end))

    def _optional(self, chars: CharSet, least: int, most: int, end: Option) -> Ref:
        """Characters of which the last ones are written one by one, if it comes to them.

        The text ends before, or all the others are there: with both ways into the last ones
        open at every character, the compiler's masks of all of them would be joined at each step.
        """
        body, longest = self._body(chars), most - _LAST

        def options() -> list[Option]:
            full = exactly(self._grammar, body, longest)
            found: list[Option] = [(*full, self._tail(chars, least, _LAST, end))]
            if longest:
                found.append((*up_to(self._grammar, body, longest - 1), *end))
            if longest and end:
                found.append((*up_to(self._grammar, body, longest - 1), self._last(chars, end)))
            return found

        return self._grammar.rule((self._spelling, "optional", chars, least, most, end), options)

    def _last(self, chars: CharSet, end: Option) -> Ref:
        """A character with the end behind it: many vocabularies have both in one token."""
        key = (self._spelling, "last", chars, end)
        return self._grammar.rule(
            key, lambda: [(*option, *end) for option in self._spelling.options(chars)]
        )

    def _without_limit(self, chars: CharSet, end: Option) -> Symbol:
        options = self._spelling.options(chars)
        if not end and options == [(chars,)]:
            return Many(chars)
        if not end:
            return any_number(self._grammar, self._one(chars))
        key = (self._spelling, "rest", chars, end)

        def rest() -> list[Option]:
            return [end, *((*option, self._grammar.rule(key, list)) for option in options)]

        return self._grammar.rule(key, rest)

    def _tail(self, chars: CharSet, least: int, most: int, end: Option) -> Ref:
        """Up to the bound, character by character."""

        def options() -> list[Option]:
            found = [end] if least <= 0 else []
            if most:
                following = self._tail(chars, max(least - 1, 0), most - 1, end)
                found += [(*option, following) for option in self._spelling.options(chars)]
            return found

        return self._grammar.rule((self._spelling, "tail", chars, least, most, end), options)

    def _body(self, chars: CharSet) -> Ref:
        """One character, behind which at least `_LAST` more of the set are allowed.

        The compiler believes a look-ahead that stands at a rule which one sequence refers to, not
        at its end (`IsExactLookaheadAssertion`), and accepts every token of such characters
        without asking at run time. So the rule stands between two empty ones: at the begin of a
        sequence it would be inlined.
        """

        def options() -> list[Option]:
            one = self._grammar.rule(
                (self._spelling, "body", chars), lambda: self._spelling.options(chars)
            )
            self._grammar.look_ahead(one, (self._one(chars),) * _LAST)
            nothing = self._grammar.rule("empty", lambda: [()])
            return [(nothing, one, nothing)]

        return self._grammar.rule((self._spelling, "sure", chars), options)
