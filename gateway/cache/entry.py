"""A complete answer in the form in which it is cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from enginehouse.api.choices import Choices
from enginehouse.api.generation import TextChunk, Usage

from enginehouse.generation import FinishReason
from enginehouse.text.answer_text import TokenScore

#: Finish reasons that the same request would lead to again.
_WHOLE = {FinishReason.STOP, FinishReason.LENGTH}


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The chunks of all answers to a question, one answer behind the other, and what they took.

    Attributes:
        fingerprint: `system_fingerprint` of the engine that generated them.
    """

    pieces: tuple[TextChunk, ...]
    usage: Usage
    fingerprint: str | None

    def encode(self) -> bytes:
        """Encode as JSON."""
        whole = [self.pieces, self.usage, self.fingerprint]
        return orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode the output of `encode`.

        Raises:
            ValueError: if it is something else.
        """
        try:
            pieces, usage, fingerprint = orjson.loads(raw)
            return cls(tuple(_piece(**piece) for piece in pieces), Usage(**usage), fingerprint)
        except (TypeError, AttributeError) as error:
            raise ValueError("no kept answer") from error


def _piece(*, finish: str | None, scores: list[dict[str, Any]], **rest: Any) -> TextChunk:
    listed = tuple(TokenScore(**(score | {"utf8": tuple(score["utf8"])})) for score in scores)
    ended = None if finish is None else FinishReason(finish)
    return TextChunk(finish=ended, scores=listed, **rest)


@dataclass(slots=True)
class Recording:
    """Collects an answer while it is sent.

    Attributes:
        most_bytes: of its text; a longer one is given up.
        complete: the last chunk has come, and nothing was cut.
    """

    most_bytes: int
    complete: bool = False
    _answers: dict[int, list[TextChunk]] = field(default_factory=dict)
    _bytes: int = 0

    def see(self, piece: TextChunk) -> None:
        """Add a chunk."""
        if self._bytes <= self.most_bytes:
            self._answers.setdefault(piece.index, []).append(piece)
            self._bytes += len(piece.text) + 1
        else:
            self._answers.clear()

    def entry(
        self, usage: Usage, choices: Choices | None, fingerprint: str | None
    ) -> CacheEntry | None:
        """The answer, if it is whole and may be kept.

        Args:
            choices: selects the answers to return if more were generated than requested.
        """
        answers = [self._answers[index] for index in sorted(self._answers)]
        if self._bytes > self.most_bytes or not answers:
            return None
        if any(answer[-1].finish not in _WHOLE for answer in answers):
            return None
        kept: Sequence[Sequence[TextChunk]] = answers if choices is None else choices.best(answers)
        return CacheEntry(tuple(piece for answer in kept for piece in answer), usage, fingerprint)
