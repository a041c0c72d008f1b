"""Grammar rules of arrays: first the `prefixItems`, then further items, within the bounds."""

from __future__ import annotations

from collections.abc import Callable

from enginehouse.engine.json_schema.alternatives import Alternatives
from enginehouse.engine.json_schema.counting import times
from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import ArrayShape, Contained, Group, item_at

_SEPARATOR = ", "
_MOST_COUNTED = 200
Value = Callable[[Group], Ref]


def array_options(
    grammar: GuideGrammar, shape: ArrayShape, alternatives: Alternatives, value: Value
) -> list[Option]:
    """The alternatives of an array's rule.

    Raises:
        SchemaRefusedError: for `uniqueItems`, and for a `contains` that cannot be counted.
    """
    if shape.unique is not None and (shape.most is None or shape.most > 1):
        raise SchemaRefusedError(
            f"'uniqueItems' at {shape.unique} cannot be enforced: leave it out"
        )
    if shape.contained:
        return _Containing(grammar, shape, alternatives, value).options()
    return [("[", option) for option in [_plain(grammar, shape, value, 0)]]


def _plain(grammar: GuideGrammar, shape: ArrayShape, value: Value, place: int) -> Ref:
    """The rule for the rest of an array after `place` items, up to and with the closing bracket."""

    def options() -> list[Option]:
        found: list[Option] = [("]",)] if place >= shape.least else []
        if shape.most is not None and place >= shape.most:
            return found
        before = (_SEPARATOR,) if place else ()
        item = value(item_at(shape, place))
        if place < len(shape.first) or place == 0:
            return [*found, (*before, item, _plain(grammar, shape, value, place + 1))]
        another = grammar.rule(("another", item), lambda: [(_SEPARATOR, item)])
        least = max(shape.least - place, 0)
        most = None if shape.most is None else shape.most - place
        return [(*times(grammar, another, least, most), "]")]

    return grammar.rule(("array", shape, place), options)


class _Containing:
    """Arrays with `contains`: each item either matches and is counted, or certainly does not."""

    def __init__(
        self, grammar: GuideGrammar, shape: ArrayShape, alternatives: Alternatives, value: Value
    ) -> None:
        self._grammar = grammar
        self._shape = shape
        self._value = value
        if len(shape.contained) > 1:
            raise SchemaRefusedError(
                f"'contains' at {shape.contained[1].place} is the second one for the same array"
            )
        self._asked: Contained = shape.contained[0]
        bounds = [shape.least, shape.most or 0, self._asked.least, self._asked.most or 0]
        if max(*bounds, len(shape.first)) > _MOST_COUNTED:
            raise SchemaRefusedError(
                f"'contains' at {self._asked.place} with counts above {_MOST_COUNTED}"
            )
        self._other: Group | None = frozenset()
        if self._asked.most is not None:
            self._other = _complement(self._asked, alternatives)

    def options(self) -> list[Option]:
        return [("[", self._rest(0, 0))]

    def _rest(self, place: int, held: int) -> Ref:
        """The rest after `place` items, of which `held` matched; equivalent counts share a rule."""
        shape, asked = self._shape, self._asked
        last = max(len(shape.first), shape.least, (shape.most or 0) + 1, 1)
        place = min(place, last)
        held = min(held, asked.least if asked.most is None else asked.most + 1)

        def options() -> list[Option]:
            found: list[Option] = []
            if asked.most is not None and held > asked.most:
                return found
            if place >= shape.least and held >= asked.least:
                found.append(("]",))
            if shape.most is not None and place >= shape.most:
                return found
            before = (_SEPARATOR,) if place else ()
            item = item_at(shape, place)
            found.append(
                (*before, self._value(item | asked.group), self._rest(place + 1, held + 1))
            )
            if self._other is not None:
                other = self._value(item | self._other)
                found.append((*before, other, self._rest(place + 1, held)))
            return found

        return self._grammar.rule(("containing", shape, place, held), options)


def _complement(asked: Contained, alternatives: Alternatives) -> Group | None:
    """The group of items that certainly do not match `contains`; None if every item matches."""
    if not asked.group:
        return None
    if len(asked.group) > 1:
        raise SchemaRefusedError(f"'contains' at {asked.place} cannot be counted")
    negated = frozenset(literal.negated() for literal in asked.group)
    alternatives.of(negated)
    return negated
