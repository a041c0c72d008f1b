"""The compiler as a judge: which texts a grammar admits, over a vocabulary of single bytes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
from enginehouse.engine.guide_worker import bindings

_END = 256
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_MOST_ORDERS = 3_000


class Judge:
    """A compiled grammar."""

    def __init__(self, grammar: str) -> None:
        xgrammar = bindings()
        information = xgrammar.TokenizerInfo([*_BYTES, "</s>"], 1, 257, [_END], False)
        compiler = xgrammar.GrammarCompiler(information, 1, False, -1)
        compiled = compiler.compile_grammar(xgrammar.Grammar.from_ebnf(grammar, "root"))
        self._matcher = xgrammar.GrammarMatcher(compiled, None, False, -1)

    def admits(self, text: str) -> bool:
        """Whether the whole text is one of the grammar's."""
        self._matcher.reset()
        return self._matcher.accept_string(text, False) and self._matcher.accept_token(_END, False)

    def admits_value(self, value: Any) -> bool:
        """Whether a value is, in the grammar's spelling and any order of its members."""
        return any(self.admits(text) for text in itertools.islice(spellings(value), _MOST_ORDERS))

    def allowed(self) -> list[int]:
        """The bytes that may come next, with 256 for the end."""
        mask = np.zeros((1, 9), dtype=np.int32)
        self._matcher.fill_next_token_bitmask(mask, 0, False)
        bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
        return [int(index) for index in np.flatnonzero(bits[: _END + 1])]

    def start(self) -> None:
        """Return to the start."""
        self._matcher.reset()

    def take(self, byte: int) -> None:
        """Advance by an allowed byte."""
        assert self._matcher.accept_token(byte, False)


def spellings(value: Any) -> Iterator[str]:
    """A value's texts, one for each order of the members."""
    if isinstance(value, dict):
        for members in itertools.permutations(value.items()):
            for texts in itertools.product(*(list(spellings(item)) for _, item in members)):
                keys = (json.dumps(key, ensure_ascii=False) for key, _ in members)
                yield "{" + ", ".join(f"{k}: {t}" for k, t in zip(keys, texts, strict=True)) + "}"
    elif isinstance(value, list):
        for texts in itertools.product(*(list(spellings(item)) for item in value)):
            yield f"[{', '.join(texts)}]"
    elif isinstance(value, float):
        number = Decimal(repr(value))
        whole = number == number.to_integral_value()
        yield str(int(number)) if whole else format(number, "f")
    else:
        yield json.dumps(value, ensure_ascii=False)
