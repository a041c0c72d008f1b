"""Automata of string shapes, and the classes of keys that an object's schemas distinguish."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from enginehouse.engine.json_schema.alternatives import Alternatives
from enginehouse.engine.json_schema.automaton import (
    Dfa,
    anything,
    beginning,
    both,
    either,
    of_length,
    without,
    words,
)
from enginehouse.engine.json_schema.keywords import found_by, member
from enginehouse.engine.json_schema.pattern import Anchor, Chars, Choice, Node, Repeat
from enginehouse.engine.json_schema.pattern import Sequence as Parts
from enginehouse.engine.json_schema.refusal import SchemaRefusedError
from enginehouse.engine.json_schema.shapes import (
    Group,
    ObjectShape,
    StringPart,
    StringShape,
)

_MAX_PATTERNS = 5
#: Total characters of known names that other keys are compared with. If the names are longer, only
#: a prefix of each is compared.
_MOST_COMPARED = 48


@functools.lru_cache(maxsize=256)
def string_dfa(shape: StringShape) -> Dfa:
    """The automaton of a shape's strings.

    Raises:
        SchemaRefusedError: if an automaton is too large; names the location of the pattern.
    """
    found = anything()
    for part in sorted(shape.parts, key=_order):
        try:
            language = words(sorted(part.words)) if part.pattern is None else found_by(part.pattern)
            found = both(found, language) if part.positive else without(found, language)
        except SchemaRefusedError as error:
            raise SchemaRefusedError(f"the pattern at {part.place} is refused: {error}") from None
    if shape.least or shape.most is not None:
        found = of_length(found, shape.least, shape.most)
    return found


def _order(part: StringPart) -> tuple[bool, str, list[str]]:
    return (not part.positive, part.pattern or "", sorted(part.words))


def whole(node: Node) -> Node | None:
    """A pattern without its `^` and `$`; None if it is not anchored at both ends."""
    if isinstance(node, Choice):
        options = [whole(option) for option in node.options]
        kept = tuple(option for option in options if option is not None)
        return Choice(kept) if len(kept) == len(options) else None
    if isinstance(node, Parts) and len(node.parts) > 1:
        first, *inner, last = node.parts
        if first is Anchor.BEGIN and last is Anchor.END and not any(map(anchored, inner)):
            return Parts(tuple(inner))
    return None


def anchored(node: Node) -> bool:
    """Whether a pattern has an anchor anywhere."""
    match node:
        case Anchor():
            return True
        case Chars():
            return False
        case Repeat(part, _, _):
            return anchored(part)
        case Choice(options):
            return any(map(anchored, options))
        case Parts(parts):
            return any(map(anchored, parts))


class ObjectKeys:
    """The keys of an object: the known names, and the others grouped by the patterns they match."""

    def __init__(self, alternatives: Alternatives, shape: ObjectShape) -> None:
        self._alternatives = alternatives
        self._shape = shape
        named = [name for members in shape.maps for name, _ in members.properties]
        self.known = tuple(dict.fromkeys([*named, *shape.required]))

    def group(self, name: str) -> Group:
        """The schemas of a known name's value; if `propertyNames` forbids it, no value fits."""
        found = member(self._shape, name) or frozenset()
        allowed = self._names is None or self._names.accepts(name)
        return found if allowed else found | {self._alternatives.document.false}

    def free(self) -> list[tuple[Dfa | None, Group]]:
        """The other keys as automata (None for any key), each with the schemas of its value.

        Raises:
            SchemaRefusedError: if there are too many patterns.
        """
        patterns = list(dict.fromkeys(p for m in self._shape.maps for p, _ in m.patterns))
        if len(patterns) > _MAX_PATTERNS:
            raise SchemaRefusedError(
                f"the object at {self._shape.place or '/'} has {len(patterns)} patternProperties, "
                f"{_MAX_PATTERNS} are allowed"
            )
        found = []
        for matched, keys in self._cells(patterns, self._others(simple=not patterns)):
            group = self._matched_group(matched)
            if self._alternatives.document.false not in group and not (keys and keys.empty):
                found.append((keys, group))
        return found

    @functools.cached_property
    def _names(self) -> Dfa | None:
        """The automaton of the keys that `propertyNames` allows; None if it allows all."""
        if not self._shape.names:
            return None
        shapes = self._alternatives.of(self._shape.names)
        found = [string_dfa(shape) for shape in shapes if isinstance(shape, StringShape)]
        return functools.reduce(either, found) if found else words([])

    def _others(self, *, simple: bool) -> Dfa | None:
        """The automaton of keys that are not known names; None for any key.

        If excluding the names costs too much, keys that begin like one are excluded as well.
        """
        if not self.known and self._names is None and simple:
            return None
        allowed = self._names or anything()
        names = self.known
        if sum(map(len, names)) <= _MOST_COMPARED or not simple or self._names is not None:
            return without(allowed, words(names)) if names else allowed
        sizes = (size for size in range(2, 65) if _prefix_size(names, size) <= _MOST_COMPARED)
        length = max(sizes, default=1)
        whole_names = [name for name in names if len(name) < length]
        begins = [name[:length] for name in names if len(name) >= length]
        return without(without(allowed, words(whole_names)), beginning(begins))

    def _cells(
        self, patterns: Sequence[str], others: Dfa | None
    ) -> Iterable[tuple[frozenset[str], Dfa | None]]:
        cells: list[tuple[frozenset[str], Dfa | None]] = [(frozenset(), others)]
        for pattern in patterns:
            found = found_by(pattern)
            split = []
            for matched, keys in cells:
                base = keys or anything()
                split.append((matched | {pattern}, both(base, found)))
                split.append((matched, without(base, found)))
            cells = [(matched, keys) for matched, keys in split if not keys.empty]
        return cells

    def _matched_group(self, matched: frozenset[str]) -> Group:
        group: Group = frozenset()
        for members in self._shape.maps:
            hits = [found for pattern, found in members.patterns if pattern in matched]
            group = group.union(*(hits or [members.rest]))
        return group


def _prefix_size(names: Sequence[str], length: int) -> int:
    return len({name[:size] for name in names for size in range(1, min(length, len(name)) + 1)})
