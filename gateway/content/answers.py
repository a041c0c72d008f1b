"""Runs the answers of one call through the output filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.content.followers import AnswerFollower


@dataclass(slots=True)
class AnswerFilters:
    """Each answer has followers of its own, in the filters' order.

    Attributes:
        begin: creates the followers of a new answer.
    """

    call: Call
    begin: Callable[[], Sequence[AnswerFollower]]
    _following: dict[int, Sequence[AnswerFollower]] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _cut: bool = False

    async def push(self, piece: TextChunk) -> list[TextChunk]:
        """The chunks that can be sent after one more chunk; none of an answer that has ended."""
        if piece.index in self._ended:
            return []
        if piece.index not in self._following:
            self._following[piece.index] = self.begin()
        pieces = [piece]
        for follower in self._following[piece.index]:
            pieces = await _through(follower, pieces)
        if pieces and pieces[-1].finish is not None:
            self._ended.add(piece.index)
            self._cut = self._cut or piece.finish is None
        return pieces

    @property
    def complete(self) -> bool:
        """Whether every answer has ended here, at least one of them before the engine ended it.

        A stream that ends by itself is read to its end, so that the stages behind see its end. How
        many answers another source sends is not known here.
        """
        answered = self.call.answered
        choices = None if answered is None else answered.choices
        ended = choices is not None and len(self._ended) == len(choices.generations)
        return ended and self._cut

    @property
    def open(self) -> bool:
        """Whether an answer has begun and not ended."""
        return len(self._ended) < len(self._following)


async def _through(follower: AnswerFollower, pieces: Sequence[TextChunk]) -> list[TextChunk]:
    out: list[TextChunk] = []
    for piece in pieces:
        out += await follower.push(piece)
        if out and out[-1].finish is not None:
            break
    return out
