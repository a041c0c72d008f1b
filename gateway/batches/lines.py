"""Running one line: who does it, and when it is tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from enginehouse.api.call import Caller
from enginehouse.gateway.batches.config import BatchesConfig

#: Answers to load and to outages, not to the request: it is worth to try again.
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class LineCall:
    """One request of a batch.

    Attributes:
        request_id: for logs, traces and the ledger; the same however often the line is tried.
    """

    endpoint: str
    body: Mapping[str, Any]
    caller: Caller
    custom_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What the endpoint said."""

    status: int
    body: Mapping[str, Any]


class LineRunner(Protocol):
    """Asks an endpoint at low priority."""

    async def __call__(self, call: LineCall) -> LineAnswer:
        """The answer, errors included: none of them is raised."""
        ...


async def stopped_within(stop: asyncio.Event, delay_s: float) -> bool:
    """Wait so long, or until the batch is stopped; whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), delay_s)
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class RetryingRunner:
    """Tries a line until it is answered: with full jitter, so that lines do not come in waves.

    Attributes:
        run: asks once.
        slots: bounds the lines that are asked at once; a line that waits holds none.
        pause: waits between two tries, and says whether the batch was stopped meanwhile.
        chance: a number from 0 to 1.
    """

    run: LineRunner
    config: BatchesConfig
    slots: AbstractAsyncContextManager[object]
    pause: Callable[[asyncio.Event, float], Awaitable[bool]] = stopped_within
    chance: Callable[[], float] = field(default=random.random)

    async def answered(self, call: LineCall, stop: asyncio.Event) -> LineAnswer | None:
        """The answer; None if the batch was stopped before there was one that counts."""
        tries = 0
        while not stop.is_set():
            async with self.slots:
                answer = await self.run(call)
            if answer.status not in _BUSY:
                return answer
            config, doubled = self.config, 2.0 ** min(tries, _MOST_DOUBLINGS)
            most_s = min(config.retry_most_s, config.retry_base_s * doubled)
            if await self.pause(stop, self.chance() * most_s):
                return None
            tries += 1
        return None
