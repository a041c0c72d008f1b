"""Bounded repetitions, with a number of rules that is logarithmic in the count.

`n` repetitions are built by doubling. At most `n` repetitions are built from pairs plus an optional
single one, in such a way that each count has exactly one parse.
"""

from __future__ import annotations

from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref, Symbol

_UNROLLED = 4


def times(grammar: GuideGrammar, symbol: Symbol, least: int, most: int | None) -> Option:
    """A symbol repeated `least` to `most` times; None means no upper limit."""
    if most is None:
        return (*exactly(grammar, symbol, least), any_number(grammar, symbol))
    return (*exactly(grammar, symbol, least), *up_to(grammar, symbol, most - least))


def any_number(grammar: GuideGrammar, symbol: Symbol) -> Ref:
    """A symbol repeated any number of times."""
    key = ("any", symbol)
    return grammar.rule(key, lambda: [(), (symbol, grammar.rule(key, list))])


def exactly(grammar: GuideGrammar, symbol: Symbol, count: int) -> Option:
    """A symbol repeated `count` times."""
    if count <= _UNROLLED:
        return (symbol,) * count
    half = exactly_rule(grammar, symbol, count // 2)
    return (half, half, symbol) if count % 2 else (half, half)


def exactly_rule(grammar: GuideGrammar, symbol: Symbol, count: int) -> Ref:
    """A rule for a symbol repeated `count` times."""
    return grammar.rule(("exactly", symbol, count), lambda: [exactly(grammar, symbol, count)])


def up_to(grammar: GuideGrammar, symbol: Symbol, count: int) -> Option:
    """A symbol repeated at most `count` times."""
    if count == 0:
        return ()
    return (grammar.rule(("up to", symbol, count), lambda: _up_to(grammar, symbol, count)),)


def _up_to(grammar: GuideGrammar, symbol: Symbol, count: int) -> list[Option]:
    if count == 1:
        return [(), (symbol,)]
    if count % 2 == 0:
        return [(), (symbol, *up_to(grammar, symbol, count - 1))]
    pair = grammar.rule(("pair", symbol), lambda: [(symbol, symbol)])
    return [(*up_to(grammar, pair, count // 2), *up_to(grammar, symbol, 1))]
