"""An answer that has begun: its first chunk is there, and so is who gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from enginehouse.api.call import Answered, Call, Shape, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Prefetched, Proceed

from enginehouse.errors import EngineUnavailableError

_Call = TypeVar("_Call", bound=Call)


@dataclass(frozen=True, slots=True)
class Begun:
    """A block around the rest of an answer; leaving it ends the call.

    Attributes:
        pieces: all of them, the first one included.
    """

    call: TextCall
    answered: Answered
    pieces: AsyncIterator[TextChunk]
    _stages: AsyncExitStack

    async def __aenter__(self) -> AsyncIterator[TextChunk]:
        return self.pieces

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stages.__aexit__(kind, error, trace)

    def shape(self) -> Shape:
        """How the answer is written."""
        return self.call.form.shape(self.call, self.answered)


async def begin(way: Proceed[TextCall], call: TextCall) -> Begun:
    """Send a call on its way, up to the first chunk of its answer.

    Raises:
        EnginehouseError: if it fails before; all stages have ended.
    """
    async with AsyncExitStack() as stages:
        pieces = await stages.enter_async_context(way(call))
        first = await anext(pieces, None)
        if first is None or call.answered is None:
            raise EngineUnavailableError("the engine's stream ended too early")
        return Begun(call, call.answered, Prefetched(first, pieces), stages.pop_all())


async def completed(way: Proceed[_Call], call: _Call) -> None:
    """Send a call on its way, to its end; what came of it is in the call.

    Raises:
        EnginehouseError: if it fails.
    """
    async with way(call) as pieces:
        async for _ in pieces:
            pass


class Ends:
    """Recognizes the last chunk of an answer, before the stages behind it have ended."""

    def __init__(self, call: Call) -> None:
        """Nothing has been seen yet."""
        self._call = call
        self._ended = 0

    def after(self, piece: TextChunk) -> bool:
        """Whether this chunk is the last one; `Call.usage` is complete then.

        How many answers another source than our engine gives is not known: always false there.
        """
        if piece.finish is None:
            return False
        self._ended += 1
        answered = self._call.answered
        choices = None if answered is None else answered.choices
        return choices is not None and self._ended >= len(choices.generations)
