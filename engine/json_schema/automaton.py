"""Deterministic finite automata over characters, to intersect several constraints on a string.

They are built by the subset construction (Rabin and Scott, IBM Journal 3/2, 1959). The anchors `^`
and `$` are edges that consume no character and can be taken only at the ends of the string.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from enginehouse.engine.json_schema.charset import ANY, CharSet
from enginehouse.engine.json_schema.pattern import Anchor, Chars, Choice, Node, Repeat
from enginehouse.engine.json_schema.pattern import Sequence as Parts
from enginehouse.engine.json_schema.refusal import SchemaRefusedError

_MAX_PARTS = 40_000
_MAX_STATES = 4_000
_MOST_TO_MINIMISE = 400
_DEAD = -1

#: A set of states of the nondeterministic automaton, and whether no character has been read yet.
_SubsetState = tuple[frozenset[int], bool]


_State = TypeVar("_State", bound=Hashable)


@dataclass(frozen=True, slots=True, eq=False)
class Dfa:
    """A deterministic automaton in which every state can reach an accepting one.

    Attributes:
        classes: disjoint character classes; any other character is rejected.
        table: for each state, the next state for each class, or -1.
        accepting: for each state, whether a string may end there.
        start: the start state; -1 if no string is accepted.
    """

    classes: tuple[CharSet, ...]
    table: tuple[tuple[int, ...], ...]
    accepting: tuple[bool, ...]
    start: int

    @property
    def empty(self) -> bool:
        """Whether no string is accepted."""
        return self.start == _DEAD

    def accepts(self, text: str) -> bool:
        """Whether the whole text is accepted."""
        state = self.start
        for character in text:
            if state == _DEAD:
                return False
            found = [i for i, chars in enumerate(self.classes) if character in chars]
            state = self.table[state][found[0]] if found else _DEAD
        return state != _DEAD and self.accepting[state]

    def edges(self, state: int) -> dict[int, CharSet]:
        """The characters that lead to each successor of a state."""
        found: dict[int, CharSet] = {}
        for chars, target in zip(self.classes, self.table[state], strict=True):
            if target != _DEAD:
                found[target] = found.get(target, CharSet()) | chars
        return found


def matching(node: Node, *, search: bool) -> Dfa:
    """The strings that a pattern matches: anywhere inside with `search`, otherwise as a whole.

    Raises:
        SchemaRefusedError: if the automaton would be too large.
    """
    network = _Network()
    first, last = network.add(node)
    if search:
        anything = Repeat(Chars(ANY), 0, None)
        before, after = network.add(anything), network.add(anything)
        network.link(before[1], first)
        network.link(last, after[0])
        first, last = before[0], after[1]
    return network.determinised(first, last)


def words(texts: Iterable[str]) -> Dfa:
    """Exactly these strings."""
    return matching(_spelled(texts), search=False)


def beginning(texts: Iterable[str]) -> Dfa:
    """Strings that begin with one of these."""
    rest = Repeat(Chars(ANY), 0, None)
    return matching(Parts((_spelled(texts), rest)), search=False)


def _spelled(texts: Iterable[str]) -> Node:
    return Choice(tuple(Parts(tuple(Chars(CharSet.of(c)) for c in text)) for text in texts))


def anything() -> Dfa:
    """Every string."""
    return Dfa((ANY,), ((0,),), (True,), 0)


def both(left: Dfa, right: Dfa) -> Dfa:
    """Strings that both accept."""
    return _product(left, right, lambda a, b: a and b)


def without(left: Dfa, right: Dfa) -> Dfa:
    """Strings that the first accepts and the second does not."""
    return _product(left, right, lambda a, b: a and not b)


def either(left: Dfa, right: Dfa) -> Dfa:
    """Strings that at least one of them accepts."""
    all_ = anything()
    return without(all_, both(without(all_, left), without(all_, right)))


def of_length(dfa: Dfa, least: int, most: int | None) -> Dfa:
    """Its strings with `least` to `most` characters; None means no upper limit."""
    bound = least if most is None else most + 1
    starts = [] if dfa.empty else [(dfa.start, 0)]

    def follow(state: tuple[int, int], symbol: int) -> tuple[int, int] | None:
        target = dfa.table[state[0]][symbol]
        count = min(state[1] + 1, bound)
        return None if target == _DEAD or (most is not None and count > most) else (target, count)

    def ends(state: tuple[int, int]) -> bool:
        return dfa.accepting[state[0]] and state[1] >= least

    return explored(starts, dfa.classes, follow, ends)


def _product(left: Dfa, right: Dfa, ends: Callable[[bool, bool], bool]) -> Dfa:
    """The product automaton. The right side may be in its dead state, where it accepts nothing."""
    classes, pairs = _refined(left.classes, right.classes)
    starts = [(left.start, right.start)] if not left.empty else []

    def follow(state: tuple[int, int], symbol: int) -> tuple[int, int] | None:
        i, j = pairs[symbol]
        first = left.table[state[0]][i]
        dead = state[1] == _DEAD or j is None
        second = _DEAD if dead else right.table[state[1]][j or 0]
        return None if first == _DEAD else (first, second)

    def accepted(state: tuple[int, int]) -> bool:
        return ends(left.accepting[state[0]], state[1] != _DEAD and right.accepting[state[1]])

    return explored(starts, classes, follow, accepted)


def _refined(
    left: Sequence[CharSet], right: Sequence[CharSet]
) -> tuple[tuple[CharSet, ...], list[tuple[int, int | None]]]:
    """The left classes split by the right ones, and the indices of the two that each is part of."""
    classes: list[CharSet] = []
    pairs: list[tuple[int, int | None]] = []
    for i, chars in enumerate(left):
        rest = chars
        for j, other in enumerate(right):
            common = rest & other
            if common:
                classes.append(common)
                pairs.append((i, j))
                rest -= other
        if rest:
            classes.append(rest)
            pairs.append((i, None))
    return tuple(classes), pairs


def explored(
    starts: Sequence[_State],
    classes: tuple[CharSet, ...],
    follow: Callable[[_State, int], _State | None],
    ends: Callable[[_State], bool],
) -> Dfa:
    """Explore all reachable states; states that cannot reach an accepting one are removed.

    Raises:
        SchemaRefusedError: if there are too many states.
    """
    numbers = {state: index for index, state in enumerate(starts)}
    queue, table = list(starts), []
    for state in queue:
        row = []
        for symbol in range(len(classes)):
            target = follow(state, symbol)
            if target is None:
                row.append(_DEAD)
                continue
            if target not in numbers:
                numbers[target] = len(queue)
                queue.append(target)
                if len(queue) > _MAX_STATES:
                    raise SchemaRefusedError(
                        f"its automaton has more than {_MAX_STATES} states: use smaller counts"
                    )
            row.append(numbers[target])
        table.append(row)
    return _trimmed(classes, table, [ends(state) for state in queue])


def _trimmed(classes: tuple[CharSet, ...], table: list[list[int]], ends: list[bool]) -> Dfa:
    """Remove states that cannot reach an accepting one, and merge equivalent states."""
    sources: list[list[int]] = [[] for _ in table]
    for state, row in enumerate(table):
        for target in row:
            if target != _DEAD:
                sources[target].append(state)
    alive = [state for state, end in enumerate(ends) if end]
    seen = set(alive)
    for state in alive:
        fresh = [source for source in sources[state] if source not in seen]
        seen.update(fresh)
        alive += dict.fromkeys(fresh)
    if 0 not in seen:
        return Dfa(classes, (), (), _DEAD)
    block = _blocks(table, ends, seen)
    order: dict[int, int] = {block[0]: 0}
    for state in sorted(seen):
        order.setdefault(block[state], len(order))
    rows: list[tuple[int, ...]] = [()] * len(order)
    final = [False] * len(order)
    for state in seen:
        rows[order[block[state]]] = tuple(
            order[block[target]] if target in seen else _DEAD for target in table[state]
        )
        final[order[block[state]]] = ends[state]
    return Dfa(classes, tuple(rows), tuple(final), 0)


def _blocks(table: list[list[int]], ends: list[bool], seen: set[int]) -> dict[int, int]:
    """Equivalence classes by Moore's algorithm (Automata Studies, 1956).

    An automaton with too many states is not minimised: each state is a class of its own.
    """
    if len(seen) > _MOST_TO_MINIMISE:
        return {state: state for state in seen}
    block = {state: int(ends[state]) for state in seen}
    while True:
        signatures = {
            state: (block[state], *(block.get(target, _DEAD) for target in table[state]))
            for state in seen
        }
        numbers: dict[tuple[int, ...], int] = {}
        fresh = {s: numbers.setdefault(signatures[s], len(numbers)) for s in sorted(seen)}
        if len(numbers) == len(set(block.values())):
            return fresh
        block = fresh


class _Network:
    """A nondeterministic automaton with character, empty and anchor edges."""

    def __init__(self) -> None:
        self._chars: list[list[tuple[CharSet, int]]] = []
        self._free: list[list[int]] = []
        self._anchors: list[list[tuple[Anchor, int]]] = []

    def link(self, source: int, target: int) -> None:
        self._free[source].append(target)

    def add(self, node: Node) -> tuple[int, int]:
        """Add a node of the pattern; return its first and its last state."""
        match node:
            case Chars(chars):
                first, last = self._state(), self._state()
                self._chars[first].append((chars & ANY, last))
            case Anchor():
                first, last = self._state(), self._state()
                self._anchors[first].append((node, last))
            case Choice(options):
                first, last = self._state(), self._state()
                for option in options:
                    begin, end = self.add(option)
                    self.link(first, begin)
                    self.link(end, last)
            case Repeat(part, least, most):
                first, last = self._repeated(part, least, most)
            case Parts(parts):
                first = last = self._state()
                for part in parts:
                    begin, end = self.add(part)
                    self.link(last, begin)
                    last = end
        return first, last

    def _repeated(self, part: Node, least: int, most: int | None) -> tuple[int, int]:
        first = last = self._state()
        for _ in range(least):
            begin, end = self.add(part)
            self.link(last, begin)
            last = end
        if most is None:
            begin, end = self.add(part)
            exit_ = self._state()
            self.link(last, begin)
            self.link(end, begin)
            self.link(last, exit_)
            self.link(end, exit_)
            return first, exit_
        exit_ = self._state()
        for _ in range(most - least):
            self.link(last, exit_)
            begin, end = self.add(part)
            self.link(last, begin)
            last = end
        self.link(last, exit_)
        return first, exit_

    def _state(self) -> int:
        if len(self._chars) >= _MAX_PARTS:
            raise SchemaRefusedError(f"it has more than {_MAX_PARTS} parts: use smaller counts")
        self._chars.append([])
        self._free.append([])
        self._anchors.append([])
        return len(self._chars) - 1

    def determinised(self, first: int, last: int) -> Dfa:
        """The equivalent deterministic automaton, by the subset construction."""
        sets = {chars for edges in self._chars for chars, _ in edges}
        classes, members = _classes(sets)
        start = (self._closure({first}, begin=True, end=False), True)

        def follow(state: _SubsetState, symbol: int) -> _SubsetState | None:
            targets = {
                target
                for number in state[0]
                for chars, target in self._chars[number]
                if symbol in members[chars]
            }
            if not targets:
                return None
            return self._closure(targets, begin=False, end=False), False

        def ends(state: _SubsetState) -> bool:
            return last in self._closure(set(state[0]), begin=state[1], end=True)

        return explored([start], classes, follow, ends)

    def _closure(self, states: set[int], *, begin: bool, end: bool) -> frozenset[int]:
        queue = list(states)
        found = set(states)
        for state in queue:
            targets = list(self._free[state])
            for anchor, target in self._anchors[state]:
                if begin if anchor is Anchor.BEGIN else end:
                    targets.append(target)
            for target in targets:
                if target not in found:
                    found.add(target)
                    queue.append(target)
        return frozenset(found)


def _classes(sets: Iterable[CharSet]) -> tuple[tuple[CharSet, ...], dict[CharSet, set[int]]]:
    """The coarsest disjoint classes that every set is a union of, and each set's class numbers."""
    listed = sorted(sets, key=lambda chars: chars.ranges)
    cuts = sorted(
        {cut for chars in listed for low, high in chars.ranges for cut in (low, high + 1)}
    )
    belongs: dict[int, list[int]] = {cut: [] for cut in cuts}
    for index, chars in enumerate(listed):
        inside = [cut for low, high in chars.ranges for cut in _between(cuts, low, high)]
        for cut in inside:
            belongs[cut].append(index)
    grouped: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for cut, following in pairwise(cuts):
        if belongs[cut]:
            grouped.setdefault(tuple(belongs[cut]), []).append((cut, following - 1))
    members: dict[CharSet, set[int]] = {chars: set() for chars in listed}
    classes = []
    for number, (owners, ranges) in enumerate(grouped.items()):
        classes.append(CharSet.of(*ranges))
        for owner in owners:
            members[listed[owner]].add(number)
    return tuple(classes), members


def _between(cuts: list[int], low: int, high: int) -> list[int]:
    return cuts[bisect_left(cuts, low) : bisect_left(cuts, high + 1)]
