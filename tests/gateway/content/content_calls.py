"""Calls, engines and stages for tests of content filters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import SimpleNamespace

from enginehouse.api.call import Answered, Ask, Call, ServedBy
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.content.config import ContentConfig
from enginehouse.gateway.content.opening import open_content
from prometheus_client import CollectorRegistry

from enginehouse.generation import FinishReason
from tests.gateway.through import Answer, text_call
from tests.gateway.through import through as behind


class Engine:
    """Gives pieces, and knows what it was asked and whether it was stopped."""

    def __init__(self, pieces: Sequence[TextChunk]) -> None:
        self.pieces = pieces
        self.asked: Call | None = None
        self.given = 0
        self.closed = False
        self.whole = False

    async def __call__(self, call: Call) -> AsyncGenerator[TextChunk, None]:
        self.asked = call
        answered = call.answered or Answered(ServedBy("smollm2", 1, None))
        call.answered = answered
        if answered.choices is None:
            indexes = {piece.index for piece in self.pieces}
            answered.choices = SimpleNamespace(generations=[None] * len(indexes))
        try:
            for piece in self.pieces:
                self.given += 1
                yield piece
            self.whole = True
        finally:
            self.closed = True


def said(text: str, *, size: int = 3, index: int = 0) -> list[TextChunk]:
    """An answer in pieces of a few characters each, with a token for each."""
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    pieces = [TextChunk(part, [at], [-0.1], None, index) for at, part in enumerate(parts)]
    return [*pieces, TextChunk("", [99], [-0.1], FinishReason.STOP, index)]


def asked(content: object = "hello", **rest: object) -> Call:
    messages = [{"role": "user", "content": content}]
    return call_of(**{"messages": messages, **rest})


def call_of(endpoint: str = "chat.completions", **rest) -> Call:
    ask = Ask(endpoint, "x", stream=True)
    return text_call(ask, rest.pop("model", "smollm2"), **rest)


def through(
    config: dict[str, object],
    call: Call,
    engine: Answer[Call],
    registry: CollectorRegistry | None = None,
) -> list[TextChunk]:
    """All pieces that come out."""

    async def run() -> list[TextChunk]:
        opening = open_content(
            ContentConfig.model_validate(config), registry or CollectorRegistry()
        )
        async with opening as stage, aclosing(behind(stage, call, engine)) as pieces:
            return [piece async for piece in pieces]

    return asyncio.run(run())


def text_of(pieces: Sequence[TextChunk], index: int = 0) -> str:
    return "".join(piece.text for piece in pieces if piece.index == index)
