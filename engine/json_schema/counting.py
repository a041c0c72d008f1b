"""Repetitions with bounds, in rules that grow with the logarithm of the count.

Exactly `n` times is a rule for each power of two. Up to `n` times is, for an odd `n`, pairs up to
half as often and then perhaps one more: each count is parsed in one way only.
"""

from __future__ import annotations

from enginehouse.engine.json_schema.grammar import GuideGrammar, Option, Ref, Symbol

_UNROLLED = 4


def times(grammar: GuideGrammar, symbol: Symbol, least: int, most: int | None) -> Option:
    """A symbol from `least` to `most` times in a row; None is without limit."""
    if most is None:
        return (*exactly(grammar, symbol, least), any_number(grammar, symbol))
    return (*exactly(grammar, symbol, least), *up_to(grammar, symbol, most - least))


def any_number(grammar: GuideGrammar, symbol: Symbol) -> Ref:
    """A symbol any number of times."""
    key = ("any", symbol)
    return grammar.rule(key, lambda: [(), (symbol, grammar.rule(key, list))])


def exactly(grammar: GuideGrammar, symbol: Symbol, count: int) -> Option:
    """A symbol so many times."""
    if count <= _UNROLLED:
        return (symbol,) * count
    half = exactly_rule(grammar, symbol, count // 2)
    return (half, half, symbol) if count % 2 else (half, half)


def exactly_rule(grammar: GuideGrammar, symbol: Symbol, count: int) -> Ref:
    """The same as a rule."""
    return grammar.rule(("exactly", symbol, count), lambda: [exactly(grammar, symbol, count)])


def up_to(grammar: GuideGrammar, symbol: Symbol, count: int) -> Option:
    """A symbol at most so many times."""
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
