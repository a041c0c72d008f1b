"""Calls and chains for the tests of stages, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from enginehouse.api.call import Ask, Call, ServedBy
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.stage import Stage

from enginehouse.generation import FinishReason
from tests.gateway.through import Answer, answered_with, text_call, through

SECRET = "a-secret-word-of-the-caller"
SERVED = ServedBy("m", 3, "m@3")
PIECES = (TextChunk("a", [1]), TextChunk("b", [2]), TextChunk("c", [3], finish=FinishReason.STOP))


def make_call(
    *, model: str = "m", headers: Mapping[str, str] | None = None, stream: bool = True
) -> Call:
    ask = Ask("chat.completions", "chatcmpl", stream)
    call = text_call(ask, model, headers=headers or {}, request_id="req-1")
    call.messages = [{"role": "user", "content": SECRET}]
    return call


def answering(
    pieces: Sequence[TextChunk] = PIECES,
    error: Exception | None = None,
    *,
    served: ServedBy | None = SERVED,
) -> Answer[Call]:
    """The end of a chain: it gives pieces, and then perhaps fails."""

    async def run(call: Call) -> AsyncGenerator[TextChunk, None]:
        if served is not None:
            answered_with(call, served)
        try:
            for piece in pieces:
                yield piece
            if error is not None:
                raise error
        finally:
            if served is not None:
                tokens = sum(len(piece.token_ids) for piece in pieces)
                answered_with(call, served, Usage(7, tokens))

    return run


def run(
    stages: Sequence[Stage[Call]], call: Call, last: Answer[Call], most: int | None = None
) -> list[TextChunk]:
    """What a caller gets who takes `most` pieces and goes; None takes all."""

    async def taken() -> list[TextChunk]:
        found: list[TextChunk] = []
        async with aclosing(through(stages, call, last)) as pieces:
            async for piece in pieces:
                found.append(piece)
                if len(found) == most:
                    break
        return found

    return asyncio.run(taken())
