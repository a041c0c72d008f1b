r"""Grammar rules of strings: quoted JSON strings, and plain text for regular expressions.

Every character of a JSON string has exactly one spelling: itself, a short escape, or `\u00` and two
digits for the other control characters. A constraint on characters is therefore a constraint on
their spelling.
"""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.engine.json_schema.automaton import Dfa
from enginehouse.engine.json_schema.charset import ANY, CharSet
from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref
from enginehouse.engine.json_schema.pattern import Anchor, Chars, Choice, Node, Repeat
from enginehouse.engine.json_schema.pattern import Sequence as Parts
from enginehouse.engine.json_schema.runs import Runs, Unit

_SHORT = {'"': '"', "\\": "\\", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_CONTROLS = CharSet.of((0x00, 0x1F))
_SPECIAL = _CONTROLS | CharSet.of('"\\')


@dataclass(frozen=True, slots=True)
class Spelling:
    """How characters are written: as a JSON string, or as plain text."""

    json: bool

    @property
    def end(self) -> Option:
        """The symbols after the last character: the closing quote, or nothing."""
        return ('"',) if self.json else ()

    def options(self, chars: CharSet) -> list[Option]:
        """The alternatives for one character of a set."""
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


class StringWriter:
    """Adds rules of strings to a grammar, in one spelling."""

    def __init__(self, grammar: GuideGrammar, spelling: Spelling) -> None:
        self._grammar = grammar
        self._spelling = spelling
        self._runs = Runs(grammar)

    def literal(self, text: str) -> Option:
        """A fixed string and its end."""
        spelled = ""
        for character in text:
            option = self._spelling.options(CharSet.of(character))[0]
            spelled += "".join(
                chr(part.ranges[0][0]) if isinstance(part, CharSet) else str(part)
                for part in option
            )
        return (spelled + "".join(map(str, self._spelling.end)),)

    def pattern(self, node: Node) -> Option:
        """A string that a pattern without anchors matches as a whole, and its end."""
        return (*self._node(node), *self._spelling.end)

    def automaton(self, dfa: Dfa) -> Ref:
        """A string that an automaton accepts, and its end."""
        return self._state(dfa, dfa.start)

    def any(self, least: int, most: int | None) -> Option:
        """A string of `least` to `most` characters, and its end."""
        return self._runs.run(self._one(ANY), least, most, self._spelling.end)

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
                return self._one(chars & ANY).symbols(self._grammar)
            case Parts(parts):
                return tuple(symbol for part in parts for symbol in self._node(part))
            case Choice(options):
                unit = Unit((self._spelling, node), tuple(self._node(option) for option in options))
                return unit.symbols(self._grammar)
            case Repeat(Chars(chars), least, most):
                return self._runs.run(self._one(chars & ANY), least, most, ())
            case Repeat(part, least, most):
                unit = Unit((self._spelling, part), (self._node(part),))
                return self._runs.run(unit, least, most, ())
            case Anchor():
                raise AssertionError("anchors are taken off before")

    def _one(self, chars: CharSet) -> Unit:
        """One character of a set."""
        return Unit((self._spelling, chars), tuple(self._spelling.options(chars)))
