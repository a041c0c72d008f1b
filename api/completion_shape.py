"""How completions are written, with their prompt before them where it is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.api.call import Shape
from enginehouse.api.generation import TextChunk

from enginehouse.text import Tokenizer
from enginehouse.text.answer_text import token_texts


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
        """Of the prompt of the answer `index`, what each adds to its text."""
        prompt = self.prompts[index // self.each]
        ids = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        return token_texts(tokenizer, ids)

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
        #: Characters that are out of each streamed answer.
        self._lengths: dict[int, int] = {}

    def streamed(self, piece: TextChunk) -> dict[str, Any]:
        """A choice of an event; the first of an answer carries the prompt."""
        begins = piece.index not in self._lengths
        offset = self._lengths.get(piece.index, 0)
        choice = self.choice([piece], begins=begins, offset=offset)
        self._lengths[piece.index] = offset + len(choice["text"])
        return choice

    def choice(self, pieces: list[TextChunk], *, begins: bool, offset: int = 0) -> dict[str, Any]:
        """Of chunks before which `offset` characters are out."""
        index = pieces[0].index
        echo = self._echo if begins else None
        prompt = "" if echo is None else echo.text(index)
        scores = None
        if self._tokenizer is not None:
            scores = _no_scores()
            if echo is not None:
                known = pieces[0].prompt_log_probs
                _list_prompt(scores, echo.tokens(index, self._tokenizer), known, len(prompt))
            _list_answer(scores, pieces, offset + len(prompt))
        return {
            "index": index,
            "text": prompt + "".join(piece.text for piece in pieces),
            "logprobs": scores,
            "finish_reason": pieces[-1].finish,
        }


def _no_scores() -> dict[str, Any]:
    return {"tokens": [], "token_logprobs": [], "top_logprobs": None, "text_offset": []}


def _list_prompt(
    scores: dict[str, Any], texts: list[str], known: Sequence[float | None], length: int
) -> None:
    """The prompt's tokens; those of which no log-probability is known have null.

    `known` may begin with a token before the text (BOS), or later than it (a prompt that was cut
    to the context). A tokenizer that changes text may have more characters than the prompt.
    """
    values = [*([None] * (len(texts) - len(known))), *known][-len(texts) :] if texts else []
    starts = itertools.accumulate((len(text) for text in texts), initial=0)
    scores["tokens"] += texts
    scores["token_logprobs"] += values
    scores["text_offset"] += [min(start, length) for start, _ in zip(starts, texts, strict=False)]


def _list_answer(scores: dict[str, Any], pieces: list[TextChunk], end: int) -> None:
    for piece in pieces:
        end += len(piece.text)
        for score in piece.scores:
            scores["tokens"].append(score.text)
            scores["token_logprobs"].append(score.log_prob)
            scores["text_offset"].append(end - score.before_end)
