"""Calls and chains for the tests of stages, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from enginehouse.api.call import Ask, Call, Proceed, ServedBy, Stage, compose
from enginehouse.api.generation import Piece, Usage

from enginehouse.generation import FinishReason

SECRET = "a-secret-word-of-the-caller"
SERVED = ServedBy("m", 3, "m@3")
PIECES = (Piece("a", [1]), Piece("b", [2]), Piece("c", [3], finish=FinishReason.STOP))


async def _nothing(_: Call) -> AsyncGenerator[Piece, None]:
    return
    yield


def make_call(
    *, model: str = "m", headers: Mapping[str, str] | None = None, stream: bool = True
) -> Call:
    ask = Ask("chat.completions", "chatcmpl", stream, include_usage=False, run=_nothing)
    call = Call(ask, model, headers=headers or {}, request_id="req-1")
    call.messages = [{"role": "user", "content": SECRET}]
    return call


def answering(
    pieces: Sequence[Piece] = PIECES,
    error: Exception | None = None,
    *,
    served: ServedBy | None = SERVED,
) -> Proceed:
    """The end of a chain: it gives pieces, and then perhaps fails."""

    async def run(call: Call) -> AsyncGenerator[Piece, None]:
        call.served_by = served
        try:
            for piece in pieces:
                yield piece
            if error is not None:
                raise error
        finally:
            call.usage = Usage(7, sum(len(piece.token_ids) for piece in pieces))

    return run


def run(stages: Sequence[Stage], call: Call, last: Proceed, most: int | None = None) -> list[Piece]:
    """What a caller gets who takes `most` pieces and goes; None takes all."""

    async def taken() -> list[Piece]:
        found: list[Piece] = []
        async with aclosing(compose(stages, last)(call)) as pieces:
            async for piece in pieces:
                found.append(piece)
                if len(found) == most:
                    break
        return found

    return asyncio.run(taken())
