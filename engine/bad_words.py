"""Bad words as a grammar, for a runtime that has no bad-words input.

The grammar is the automaton of Aho and Corasick (Communications of the ACM 18/6, 1975) over the
words' characters, without the states in which a word is complete. Each state is one right-recursive
rule that may end anywhere. No answer can therefore contain a bad word, however tokens split it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from enginehouse.engine.json_schema.charset import ANY, CharSet
from enginehouse.engine.json_schema.grammar import class_text

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import Guide, GuideKind

_MAX_CHARACTERS = 2_000


def forbid(words: Iterable[str]) -> Guide:
    """A guide under which none of the words can occur.

    Raises:
        InvalidRequestError: if a word is empty or the words are too long in total.
    """
    unique = sorted(set(words))
    if "" in unique or any("\ufffd" in word for word in unique):
        raise InvalidRequestError(
            "bad_words_list holds a word that is empty or ends inside a character",
            field="bad_words_list",
        )
    if sum(map(len, unique)) > _MAX_CHARACTERS:
        raise InvalidRequestError(
            f"bad_words_list has {sum(map(len, unique))} characters, {_MAX_CHARACTERS} are allowed",
            field="bad_words_list",
        )
    trie, failure, bad = _automaton(unique)
    alphabet = sorted({character for word in unique for character in word})
    rules = [
        _rule(state, trie, failure, bad, alphabet) for state in range(len(trie)) if not bad[state]
    ]
    return Guide(GuideKind.EBNF_GRAMMAR, "root ::= s0\n" + "\n".join(rules))


def _automaton(words: list[str]) -> tuple[list[dict[str, int]], list[int], list[bool]]:
    """For each state: its trie edges, its failure link, and whether a word is complete in it."""
    trie: list[dict[str, int]] = [{}]
    bad = [False]
    for word in words:
        state = 0
        for character in word:
            if character not in trie[state]:
                trie.append({})
                bad.append(False)
                trie[state][character] = len(trie) - 1
            state = trie[state][character]
        bad[state] = True
    failure = [0] * len(trie)
    queue = deque(trie[0].values())
    while queue:
        state = queue.popleft()
        bad[state] = bad[state] or bad[failure[state]]
        for character, child in trie[state].items():
            failure[child] = _next(failure[state], character, trie, failure)
            queue.append(child)
    return trie, failure, bad


def _next(state: int, character: str, trie: list[dict[str, int]], failure: list[int]) -> int:
    while state and character not in trie[state]:
        state = failure[state]
    return trie[state].get(character, 0)


def _rule(
    state: int,
    trie: list[dict[str, int]],
    failure: list[int],
    bad: list[bool],
    alphabet: list[str],
) -> str:
    """The rule of one state: a character in no word leads back to the start state."""
    targets = {character: _next(state, character, trie, failure) for character in alphabet}
    led = {character: target for character, target in targets.items() if target}
    others = ANY - CharSet.of("\0", *led)
    branches = ['""', f"{class_text(others)} s0"]
    branches += [
        f"{class_text(CharSet.of(c))} s{target}" for c, target in led.items() if not bad[target]
    ]
    return f"s{state} ::= {' | '.join(branches)}"
