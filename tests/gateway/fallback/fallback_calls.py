"""Calls, models of ours that do as they are told, and the stage in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from enginehouse.api.call import Ask, ServedBy, TextCall
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.fallback.config import FallbackConfig
from enginehouse.gateway.fallback.stage import Fallback, open_fallback
from prometheus_client import CollectorRegistry

from enginehouse.generation import FinishReason
from tests.gateway.through import answered_with, text_call, through

Does = Exception | asyncio.Event | Sequence[TextChunk | Exception]
OK = (TextChunk("fine"), TextChunk("", finish=FinishReason.STOP))


def call_of(model: str = "m", *, endpoint: str = "chat.completions", **more: Any) -> TextCall:
    identity = more.pop("identity", {"temperature": 0.5, "ignore_eos": False})
    ask = Ask(
        endpoint=endpoint,
        prefix="chatcmpl",
        stream=True,
        identity=identity,
    )
    if endpoint == "chat.completions":
        more.setdefault("messages", [{"role": "user", "content": "Hello there"}])
    return text_call(ask, model, **more)


@dataclass
class Models:
    """What stands behind the stage: model → what it does when it is asked.

    An error is raised at once, an event is waited for (and then it is well), pieces are given.
    """

    does: Mapping[str, Does]
    asked: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    #: Set once two attempts run.
    two: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, call: TextCall) -> AsyncGenerator[TextChunk, None]:
        self.asked.append(call.model)
        if len(self.asked) > 1:
            self.two.set()
        does = self.does[call.model]
        model, _, version = call.model.partition("@")
        by = ServedBy(model, int(version or 1), None)
        answered_with(call, by)
        call.response_headers[VERSION_HEADER] = version or "1"
        try:
            if isinstance(does, Exception):
                raise does
            if isinstance(does, asyncio.Event):
                await does.wait()
                does = OK
            for item in does:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            answered_with(call, by, Usage(3, 2))
            self.closed.append(call.model)


@asynccontextmanager
async def fallback(**config: Any) -> AsyncIterator[tuple[Fallback, CollectorRegistry]]:
    registry = CollectorRegistry()
    async with open_fallback(FallbackConfig.model_validate(config), registry) as stage:
        yield stage, registry


async def text_of(stage: Fallback, call: TextCall, models: Models) -> str:
    async with aclosing(through(stage, call, models)) as pieces:
        return "".join([piece.text async for piece in pieces])
