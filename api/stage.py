"""What a stage is, and how stages make a way for a call.

A way (`Proceed`) is an async context that yields an iterator of an answer's chunks, valid until the
block is left. It is made of stages around something that answers (`compose`). There are two kinds:

- a `Watcher` looks at a call or refuses it. It is an async context around the call, and may see
  each chunk through a plain function.
- a `Transformer` changes, holds or replaces chunks, so it gives an iterator of its own.

Each transformer costs one generator frame a chunk. All watchers between two transformers share one
frame, and only if one of them gave a `See`. Other watchers cost nothing while an answer streams.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Protocol, TypeVar, runtime_checkable

from enginehouse.api.generation import TextChunk

_State = TypeVar("_State")
_Seen_contra = TypeVar("_Seen_contra", contravariant=True)

#: Sees a chunk on its way out. It must not raise.
See = Callable[[TextChunk], None]
#: A call in one of its states → the chunks of its answer, until the block ends. What the block
#: raises reaches the stages, the innermost first.
Proceed = Callable[[_State], AbstractAsyncContextManager[AsyncIterator[TextChunk]]]


class Watcher(Protocol[_Seen_contra]):
    """A stage that looks at a call, or refuses it."""

    def enter(self, state: _Seen_contra, /) -> AbstractAsyncContextManager[See | None]:
        """A context that lasts until the stages behind have ended; yields a `See`, or None.

        Raises:
            ServingError: on entering, with the reason, if the call ends here.
        """
        ...


@runtime_checkable
class Transformer(Protocol[_State]):
    """A stage that changes, holds or replaces chunks."""

    def transform(
        self, state: _State, proceed: Proceed[_State], /
    ) -> AbstractAsyncContextManager[AsyncIterator[TextChunk]]:
        """The chunks of the answer; `proceed` gives those of the stages behind.

        Raises:
            ServingError: on entering, with the reason, if the call ends here.
        """
        ...


Stage = Watcher[_State] | Transformer[_State]


def compose(stages: Sequence[Stage[_State]], last: Proceed[_State]) -> Proceed[_State]:
    """A way through stages, the first outermost, to what answers."""
    way = last
    watchers: list[Watcher[_State]] = []
    for stage in reversed(stages):
        if isinstance(stage, Transformer):
            way = _transformed(stage, _watched(watchers, way))
            watchers = []
        else:
            watchers = [stage, *watchers]
    return _watched(watchers, way)


def _transformed(stage: Transformer[_State], behind: Proceed[_State]) -> Proceed[_State]:
    return lambda state: stage.transform(state, behind)


def _watched(watchers: Sequence[Watcher[_State]], behind: Proceed[_State]) -> Proceed[_State]:
    if not watchers:
        return behind

    @asynccontextmanager
    async def way(state: _State) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        async with AsyncExitStack() as entered:
            sees = [
                see
                for watcher in watchers
                if (see := await entered.enter_async_context(watcher.enter(state))) is not None
            ]
            pieces = await entered.enter_async_context(behind(state))
            if not sees:
                yield pieces
                return
            # The innermost stage is the first to see a chunk, as if each had a frame of its own.
            async with aclosing(_seen(pieces, sees[::-1])) as seen:
                yield seen

    return way


async def _seen(
    pieces: AsyncIterator[TextChunk], sees: Sequence[See]
) -> AsyncGenerator[TextChunk, None]:
    async for piece in pieces:
        for see in sees:
            see(piece)
        yield piece


class Prefetched:
    """The first chunk is already fetched; later ones come straight from `rest`, without a frame."""

    def __init__(self, first: TextChunk | None, rest: AsyncIterator[TextChunk]) -> None:
        """`first` is None if there are no chunks at all."""
        self._first = first
        self._rest = rest

    def __aiter__(self) -> AsyncIterator[TextChunk]:
        return self

    def __anext__(self) -> Awaitable[TextChunk]:
        if self._first is None:
            return self._rest.__anext__()
        first, self._first = self._first, None
        return _at_once(first)


async def _at_once(piece: TextChunk) -> TextChunk:
    return piece
