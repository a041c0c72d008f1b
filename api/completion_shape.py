"""How completions are written, with their prompt before them where it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.api.call import Shape
from enginehouse.api.generation import Piece

from enginehouse.text import Tokenizer


@dataclass(frozen=True, slots=True)
class Echo:
    """Prompts that are repeated before their answers.

    Attributes:
        each: answers that are given of one prompt.
        tokenizer: None where a provider answers, which is asked with text only.
    """

    prompts: Sequence[str | list[int]]
    each: int
    tokenizer: Tokenizer | None

    def text(self, index: int) -> str:
        """Of the prompt of the answer `index`."""
        prompt = self.prompts[index // self.each]
        if isinstance(prompt, str):
            return prompt
        return "" if self.tokenizer is None else self._decoded(self.tokenizer, prompt)

    def tokens(self, index: int, tokenizer: Tokenizer) -> list[str]:
        """Of the prompt of the answer `index`."""
        prompt = self.prompts[index // self.each]
        ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return [tokenizer.token_text(token_id) for token_id in ids]

    @staticmethod
    def _decoded(tokenizer: Tokenizer, ids: list[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=False)


def completion_shape(tokenizer: Tokenizer | None, echo: Echo | None) -> Shape:
    """The shape of one call's answers; with a tokenizer, log-probabilities are given."""
    writer = _Writer(tokenizer, echo)
    return Shape(
        stream_object="text_completion",
        whole_object="text_completion",
        opening=None,
        delta=lambda piece: [writer.streamed(piece)],
        whole=lambda pieces: writer.choice(pieces, begins=True),
    )


class _Writer:
    def __init__(self, tokenizer: Tokenizer | None, echo: Echo | None) -> None:
        self._tokenizer = tokenizer
        self._echo = echo
        self._begun: set[int] = set()

    def streamed(self, piece: Piece) -> dict[str, Any]:
        """A choice of an event; the first of an answer carries the prompt."""
        begins = piece.index not in self._begun
        self._begun.add(piece.index)
        return self.choice([piece], begins=begins)

    def choice(self, pieces: list[Piece], *, begins: bool) -> dict[str, Any]:
        index = pieces[0].index
        echo = self._echo if begins else None
        prompt = "" if echo is None else echo.text(index)
        scores = None
        if self._tokenizer is not None:
            known = [] if echo is None else echo.tokens(index, self._tokenizer)
            scores = _log_probs(self._tokenizer, known, pieces)
        return {
            "index": index,
            "text": prompt + "".join(piece.text for piece in pieces),
            "logprobs": scores,
            "finish_reason": pieces[-1].finish,
        }


def _log_probs(tokenizer: Tokenizer, prompt: list[str], pieces: list[Piece]) -> dict[str, Any]:
    """Of the prompt's tokens the engine gives none, so theirs are null."""
    generated = [tokenizer.token_text(i) for piece in pieces for i in piece.token_ids]
    tokens = [*prompt, *generated]
    lengths = [0, *(len(token) for token in tokens)]
    values = [value for piece in pieces for value in piece.log_probs]
    return {
        "tokens": tokens,
        "token_logprobs": [*(None for _ in prompt), *values],
        "top_logprobs": None,
        "text_offset": list(itertools.accumulate(lengths))[: len(tokens)],
    }
