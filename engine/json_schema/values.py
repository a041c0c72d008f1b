"""Translates shapes into grammar rules, one rule for each group of subschemas."""

from __future__ import annotations

import json
from typing import Any

from enginehouse.engine.json_schema.alternatives import Alternatives
from enginehouse.engine.json_schema.arrays import array_options
from enginehouse.engine.json_schema.determinism import deterministic
from enginehouse.engine.json_schema.enumerated import point, string_fits
from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref
from enginehouse.engine.json_schema.keywords import decimal
from enginehouse.engine.json_schema.languages import ObjectKeys, string_dfa, whole
from enginehouse.engine.json_schema.numbers import ANY_NUMBER, number_dfa, spelled
from enginehouse.engine.json_schema.objects import ObjectRules
from enginehouse.engine.json_schema.pattern import parse
from enginehouse.engine.json_schema.shapes import (
    ArrayShape,
    BooleanShape,
    Group,
    NullShape,
    NumberShape,
    ObjectShape,
    Shape,
    StringShape,
    ValueShape,
)
from enginehouse.engine.json_schema.strings import Spelling, StringWriter


class ValueRules:
    """Adds rules of JSON values to a grammar."""

    def __init__(self, alternatives: Alternatives, grammar: GuideGrammar) -> None:
        self._alternatives = alternatives
        self._grammar = grammar
        self._quoted = StringWriter(grammar, Spelling(json=True))
        self._bare = StringWriter(grammar, Spelling(json=False))

    def value(self, group: Group) -> Ref:
        """The rule of a value that fits a group."""
        return self._grammar.rule(
            ("value", group),
            lambda: [
                option for shape in self._alternatives.of(group) for option in self._options(shape)
            ],
        )

    def _options(self, shape: Shape) -> list[Option]:
        match shape:
            case NullShape():
                return [("null",)]
            case BooleanShape(values):
                return [(json.dumps(value),) for value in sorted(values)]
            case NumberShape():
                return [self._number(shape)]
            case StringShape():
                return self._string(shape)
            case ArrayShape():
                return array_options(self._grammar, shape, self._alternatives, self.value)
            case ObjectShape():
                keys = ObjectKeys(self._alternatives, shape)
                return ObjectRules(self._grammar, shape, keys, self.value, self._quoted).options()
            case ValueShape(_, text):
                return [(self._literal(json.loads(text)),)]

    def _number(self, shape: NumberShape) -> Option:
        if shape == NumberShape():
            return self._bare.pattern(ANY_NUMBER)
        single = point(shape)
        if single is not None:
            return (spelled(single),) if shape.admits(single) else (self._nothing(),)
        dfa = number_dfa(shape)
        return (self._nothing(),) if dfa.empty else (self._bare.automaton(dfa),)

    def _nothing(self) -> Ref:
        return self._grammar.rule("nothing", list)

    def _string(self, shape: StringShape) -> list[Option]:
        if not shape.parts:
            return [('"', *self._quoted.any(shape.least, shape.most))]
        listed = [part.words for part in shape.parts if part.pattern is None and part.positive]
        if listed:
            texts = [text for text in sorted(listed[0]) if string_fits(text, shape)]
            return [('"', *self._quoted.literal(text)) for text in texts]
        (part, *others) = shape.parts
        alone = not others and part.positive and not shape.least and shape.most is None
        node = whole(parse(part.pattern or "")) if alone else None
        if node is not None and deterministic(node):
            return [('"', *self._quoted.pattern(node))]
        dfa = string_dfa(shape)
        return [] if dfa.empty else [('"', self._quoted.automaton(dfa))]

    def _literal(self, value: Any) -> str:
        match value:
            case str():
                return '"' + "".join(map(str, self._quoted.literal(value)))
            case list():
                return f"[{', '.join(map(self._literal, value))}]"
            case dict():
                members = [f"{self._literal(k)}: {self._literal(v)}" for k, v in value.items()]
                return "{" + ", ".join(members) + "}"
            case bool() | None:
                return json.dumps(value)
        return spelled(decimal(value))
