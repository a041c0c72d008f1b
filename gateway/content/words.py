"""Many words as one regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterable

Trie = dict[str, "Trie"]
_ENDS = ""


def words_pattern(words: Iterable[str], *, ignore_case: bool) -> re.Pattern[str]:
    """A pattern for any of the words as a whole word, the longest of those that fit.

    Words that begin alike share their beginning, so that a long list is not tried word by word.
    """
    trie: Trie = {}
    for word in words:
        node = trie
        if ignore_case:
            word = word.lower()  # noqa: PLW2901 - the trie has one case
        for char in word:
            node = node.setdefault(char, {})
        node[_ENDS] = {}
    if not ignore_case:
        return re.compile(rf"(?<!\w){_written(trie)}(?!\w)")
    # A set of first characters is searched faster than a word in any case.
    firsts = {char: f"[{''.join(map(re.escape, _cases(char)))}]" for char in trie}
    any_first = "".join(first[1:-1] for first in firsts.values())
    rests = (f"(?<={firsts[char]}){_written(below)}" for char, below in trie.items())
    return re.compile(rf"[{any_first}](?<!\w[{any_first}])(?i:{'|'.join(rests)})(?!\w)")


def _cases(char: str) -> list[str]:
    """A character in each case that is one character too."""
    return sorted(case for case in {char, char.lower(), char.upper()} if len(case) == 1)


def _written(node: Trie) -> str:
    shared = ""
    while len(node) == 1 and _ENDS not in node:
        ((char, node),) = node.items()
        shared += re.escape(char)
    branches = [re.escape(char) + _written(below) for char, below in node.items() if char]
    if not branches:
        return shared
    return f"{shared}(?:{'|'.join(branches)}){'?' if _ENDS in node else ''}"
