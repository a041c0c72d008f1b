"""Decides whether a pattern is deterministic, that is, readable with one character of look-ahead.

The counted repetitions of a deterministic pattern are written directly. For any other pattern the
compiler would have to follow several parses at each step. The criterion is that of one-unambiguous
expressions with counters (Brüggemann-Klein and Wood, Information and Computation 142/2, 1998): the
characters that continue a repetition and those that can follow it are disjoint.
"""

from __future__ import annotations

from enginehouse.engine.json_schema.charset import ANY, NOTHING, CharSet
from enginehouse.engine.json_schema.pattern import Anchor, Chars, Choice, Node, Repeat
from enginehouse.engine.json_schema.pattern import Sequence as Parts


def deterministic(node: Node, follow: CharSet = NOTHING) -> bool:
    """Whether each character of a text has only one possible parse.

    Args:
        node: a pattern without anchors.
        follow: first characters of whatever can follow the pattern.
    """
    match node:
        case Chars() | Anchor():
            return True
        case Choice(options):
            return _apart(options, follow) and all(deterministic(o, follow) for o in options)
        case Repeat(part, least, most):
            if nullable(part) or (most != least and first(part) & follow):
                return False
            again = follow if most == 1 else follow | first(part)
            return deterministic(part, again)
        case Parts(parts):
            return all(
                deterministic(part, _first_of(parts[index + 1 :], follow))
                for index, part in enumerate(parts)
            )


def first(node: Node) -> CharSet:
    """The characters with which a match can begin."""
    match node:
        case Chars(chars):
            return chars & ANY
        case Anchor():
            return NOTHING
        case Choice(options):
            found = NOTHING
            for option in options:
                found |= first(option)
            return found
        case Repeat(part, _, most):
            return NOTHING if most == 0 else first(part)
        case Parts(parts):
            return _first_of(parts, NOTHING)


def nullable(node: Node) -> bool:
    """Whether the empty string matches."""
    match node:
        case Chars():
            return False
        case Anchor():
            return True
        case Choice(options):
            return any(map(nullable, options))
        case Repeat(part, least, _):
            return least == 0 or nullable(part)
        case Parts(parts):
            return all(map(nullable, parts))


def _first_of(parts: tuple[Node, ...], follow: CharSet) -> CharSet:
    found = NOTHING
    for part in parts:
        found |= first(part)
        if not nullable(part):
            return found
    return found | follow


def _apart(options: tuple[Node, ...], follow: CharSet) -> bool:
    """Whether options begin differently; if one is empty, also differently from `follow`."""
    seen = follow if any(map(nullable, options)) else NOTHING
    for option in options:
        begin = first(option)
        if begin & seen:
            return False
        seen |= begin
    return sum(map(nullable, options)) <= 1
