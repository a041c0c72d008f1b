"""Grammar rules of objects: known members in the order of the schema, then other members."""

from __future__ import annotations

import functools
from collections.abc import Callable

from enginehouse.engine.json_schema.automaton import Dfa
from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref
from enginehouse.engine.json_schema.languages import ObjectKeys
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import Group, ObjectShape
from enginehouse.engine.json_schema.strings import StringWriter

_SEPARATOR = ", "
_COLON = ": "
_MOST_COUNTED = 500


class ObjectRules:
    """The rules of one object shape.

    Each rule represents a position among the known members and the number of members written so
    far, as far as `minProperties` or `maxProperties` depends on it. Other members may repeat a key,
    of which a JSON parser keeps one. Only the first of them therefore counts for `minProperties`.
    """

    def __init__(
        self,
        grammar: GuideGrammar,
        shape: ObjectShape,
        keys: ObjectKeys,
        value: Callable[[Group], Ref],
        texts: StringWriter,
    ) -> None:
        self._grammar = grammar
        self._shape = shape
        self._keys = keys
        self._value = value
        self._texts = texts
        self._limit = shape.least if shape.most is None else max(shape.least, shape.most + 1)
        if self._limit > _MOST_COUNTED:
            raise SchemaRefusedError(
                f"the object at {shape.place or '/'} counts its members up to {self._limit}, "
                f"{_MOST_COUNTED} are allowed"
            )

    def options(self) -> list[Option]:
        """The alternatives of the object's rule.

        Raises:
            SchemaRefusedError: if several members without a known name could satisfy
                `minProperties`, since the grammar cannot count distinct keys.
        """
        if self._shape.least > len(self._shape.required) + 1 and self._free:
            raise SchemaRefusedError(
                f"'minProperties' at {self._shape.place or '/'} is {self._shape.least}: name all "
                "but one in 'required', or forbid others by 'additionalProperties', as other keys "
                "might repeat"
            )
        return [("{", self._from(0, 0))]

    def _from(self, place: int, count: int) -> Ref:
        """The rule for the rest of an object from a known member on, with the closing brace."""

        def options() -> list[Option]:
            if place == len(self._keys.known):
                return self._ending(count)
            name = self._keys.known[place]
            found: list[Option] = []
            if self._room(count):
                member = (*self._before(count), self._known(name), _COLON)
                value = self._value(self._keys.group(name))
                found.append((*member, value, self._from(place + 1, self._counted(count))))
            if name not in self._shape.required:
                found.append((self._from(place + 1, count),))
            return found

        return self._grammar.rule(("members", self._shape, place, count), options)

    def _ending(self, count: int) -> list[Option]:
        """The other members, at least one if `minProperties` still requires one."""
        missing = self._shape.least - count
        found: list[Option] = [("}",)] if missing <= 0 else []
        if missing <= 1 and self._free and self._room(count):
            found.append((*self._before(count), self._pair(), self._more(self._counted(count))))
        return found

    def _more(self, count: int) -> Ref:
        def options() -> list[Option]:
            found: list[Option] = [("}",)]
            if self._room(count):
                found.append((_SEPARATOR, self._pair(), self._more(self._counted(count))))
            return found

        return self._grammar.rule(("more members", self._shape, count), options)

    def _pair(self) -> Ref:
        def options() -> list[Option]:
            found: list[Option] = []
            for keys, group in self._free:
                key = self._texts.any(0, None) if keys is None else (self._texts.automaton(keys),)
                found.append(('"', *key, _COLON, self._value(group)))
            return found

        return self._grammar.rule(("pair", self._shape), options)

    @functools.cached_property
    def _free(self) -> list[tuple[Dfa | None, Group]]:
        return self._keys.free()

    def _known(self, name: str) -> str:
        return '"' + "".join(map(str, self._texts.literal(name)))

    def _before(self, count: int) -> Option:
        return (_SEPARATOR,) if count else ()

    def _room(self, count: int) -> bool:
        return self._shape.most is None or count < self._shape.most

    def _counted(self, count: int) -> int:
        """The next count. Counts above the limit are equivalent; 0 and 1 are always distinct."""
        return min(count + 1, max(self._limit, 1))
