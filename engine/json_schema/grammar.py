"""Builds a grammar from rules of symbols and writes it in xgrammar's EBNF.

The compiler (xgrammar 0.1.31) computes a mask over the vocabulary for each grammar position at
which characters may follow. A position that allows most characters costs 10 to 20 ms. Long
repetitions are therefore not unrolled, see `counting.py`.

Character classes are written as positive ranges, because the compiler cuts negated ones off at
U+007F (`BuildNegativeCharacterClass`). They are split into ranges that it translates into bytes
without loss, see `_blocks`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from enginehouse.engine.json_schema.charset import CharSet
from enginehouse.engine.json_schema.refusal import SchemaRefusedError

_MAX_RULES = 60_000
#: Code points by their UTF-8 length of one to four bytes, and the sizes of the blocks in which the
#: leading bytes are equal.
_UTF8_LENGTHS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (0x0, 0x7F, ()),
    (0x80, 0x7FF, ()),
    (0x800, 0xFFFF, (1 << 12,)),
    (0x10000, 0x10FFFF, (1 << 12, 1 << 18)),
)


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference to a rule by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Many:
    """A character class, repeated any number of times."""

    chars: CharSet


#: A literal string, one character of a class, a repeated class, or a reference to a rule.
Symbol = str | CharSet | Many | Ref
Option = tuple[Symbol, ...]


@dataclass(slots=True)
class GrammarRule:
    """The alternatives of a rule. An empty alternative is the empty string.

    Attributes:
        options: the alternatives.
        ahead: what is certainly allowed after the rule, as a hint for the compiler; see `runs.py`.
    """

    options: list[Option] = field(default_factory=list)
    ahead: Option = ()


class GuideGrammar:
    """A grammar under construction. Rules are identified by keys and built once."""

    def __init__(self) -> None:
        self._rules: dict[str, GrammarRule] = {}
        self._names: dict[Hashable, str] = {}

    def rule(self, key: Hashable, options: Callable[[], Iterable[Option]]) -> Ref:
        """A reference to the rule of a key, which is built on first use.

        Args:
            key: identifies the rule.
            options: returns its alternatives, which may refer to the rule itself.

        Raises:
            SchemaRefusedError: if there are too many rules.
        """
        known = self._names.get(key)
        if known is not None:
            return Ref(known)
        name = f"r{len(self._names)}"
        if len(self._names) >= _MAX_RULES:
            raise SchemaRefusedError(f"its grammar has more than {_MAX_RULES} rules")
        self._names[key] = name
        rule = self._rules[name] = GrammarRule()
        rule.options = list(dict.fromkeys(options()))
        return Ref(name)

    def look_ahead(self, rule: Ref, ahead: Option) -> None:
        """Set the compiler hint of what is certainly allowed after a rule."""
        self._rules[rule.name].ahead = ahead

    def text(self, root: Ref) -> str:
        """The grammar in EBNF.

        Raises:
            SchemaRefusedError: if the root rule matches nothing.
        """
        productive = self._productive()
        if root.name not in productive:
            raise SchemaRefusedError("nothing can match it")
        lines = [f"root ::= {root.name}"]
        for name in self._reached(root.name, productive):
            rule = self._rules[name]
            options = [option for option in rule.options if _possible(option, productive)]
            ahead = f" (={_sequence(rule.ahead)})" if rule.ahead else ""
            lines.append(f"{name} ::= {' | '.join(map(_sequence, options))}{ahead}")
        return "\n".join(lines) + "\n"

    def _productive(self) -> set[str]:
        """Names of the rules that match at least one string; the others are left out."""
        users: dict[str, set[str]] = {}
        for name, rule in self._rules.items():
            for option in rule.options:
                for symbol in option:
                    if isinstance(symbol, Ref):
                        users.setdefault(symbol.name, set()).add(name)
        found: set[str] = set()
        queue = list(self._rules)
        while queue:
            name = queue.pop()
            if name not in found and any(_possible(o, found) for o in self._rules[name].options):
                found.add(name)
                queue += users.get(name, ())
        return found

    def _reached(self, root: str, productive: set[str]) -> list[str]:
        found = {root: None}
        queue = [root]
        for name in queue:
            rule = self._rules[name]
            options = [option for option in rule.options if _possible(option, productive)]
            for option in (*options, rule.ahead):
                for symbol in option:
                    if isinstance(symbol, Ref) and symbol.name not in found:
                        found[symbol.name] = None
                        queue.append(symbol.name)
        return list(found)


def _possible(option: Option, productive: set[str]) -> bool:
    return all(
        bool(symbol) if isinstance(symbol, CharSet)
        else symbol.name in productive if isinstance(symbol, Ref)
        else True
        for symbol in option
    )  # fmt: skip


def _sequence(option: Option) -> str:
    return " ".join(map(_symbol, option)) or '""'


def _symbol(symbol: Symbol) -> str:
    match symbol:
        case Ref(name):
            return name
        case CharSet():
            return class_text(symbol)
        case Many(chars):
            return f"{class_text(chars)}*"
        case text:
            return '"' + "".join(map(_escaped, text)) + '"'


def class_text(chars: CharSet) -> str:
    """A character class in xgrammar's EBNF."""
    parts = [
        f"{_escaped(chr(begin))}-{_escaped(chr(end))}"
        for low, high in chars.ranges
        for first, last, blocks in _UTF8_LENGTHS
        for begin, end in _blocks(max(low, first), min(high, last), blocks)
    ]
    return f"[{''.join(parts)}]"


def _blocks(low: int, high: int, sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Split a range where the leading bytes of UTF-8 change; whole blocks in its middle stay one.

    The compiler mistranslates the second bytes of a range that ends inside a block of three-byte
    characters (`AddSameLengthCharacterRange`, which starts again at 0x0080).
    """
    if low > high:
        return
    for size in sizes:
        if low // size == high // size:
            break
        if low % size:
            end = low - low % size + size - 1
            yield low, end
            low = end + 1
        if high % size != size - 1:
            begin = high - high % size
            yield begin, high
            high = begin - 1
    if low <= high:
        yield low, high


def _escaped(character: str) -> str:
    point = ord(character)
    if character.isascii() and character.isalnum():
        return character
    return f"\\U{point:08x}" if point > 0xFFFF else f"\\u{point:04x}"  # noqa: PLR2004
