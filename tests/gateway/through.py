"""A call through stages, to a generator that answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from enginehouse.api.call import Answered, Ask, Call, ServedBy, TextCall
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.stage import Prefetched, Proceed, Stage, compose

_State = TypeVar("_State")
Answer = Callable[[_State], AsyncGenerator[TextChunk, None]]


def way_to(answer: Answer[_State]) -> Proceed[_State]:
    """The way to a generator of pieces; as an attempt, it is entered with the first of them."""

    @asynccontextmanager
    async def way(state: _State) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        async with aclosing(answer(state)) as pieces:
            yield Prefetched(await anext(pieces, None), pieces)

    return way


async def through(
    stages: Stage[Any] | Sequence[Stage[Any]], state: _State, answer: Answer[_State]
) -> AsyncGenerator[TextChunk, None]:
    """The pieces of an answer behind stages; closing it leaves the stages as a disconnect does."""
    listed = stages if isinstance(stages, Sequence) else [stages]
    async with compose(listed, way_to(answer))(state) as pieces:
        async for piece in pieces:
            yield piece


class NotAsked:
    """A form that no test may ask."""

    async def choices(self, routed: Any) -> Any:
        raise AssertionError("the request is not prepared here")

    def shape(self, call: Any, answered: Any) -> Any:
        raise AssertionError("the answer is not written here")

    async def vectors(self, routed: Any) -> Any:
        raise AssertionError("no vectors are asked for here")


def text_call(ask: Ask, model: str, **fields: Any) -> TextCall:
    """A call that is not prepared."""
    return TextCall(ask, model, form=NotAsked(), **fields)


def answered_with(call: Call, served_by: ServedBy, used: Usage | None = None) -> Answered:
    """Have a call answered by somebody without an engine of ours; twice changes the first."""
    if call.answered is None or call.answered.served_by != served_by:
        call.answered = Answered(served_by)
    if used is not None:
        call.answered.used = used
    return call.answered
