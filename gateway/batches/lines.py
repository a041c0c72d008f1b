"""Running and retrying one line of a batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from enginehouse.api.caller import Caller
from enginehouse.gateway.batches.config import BatchesConfig

from enginehouse.retry import RetryPolicy

#: Statuses caused by load or an outage, not by the request: a retry may succeed.
_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class LineCall:
    """One request of a batch.

    Attributes:
        request_id: id for logs, traces and the ledger; the same for all attempts.
    """

    endpoint: str
    body: Mapping[str, Any]
    caller: Caller
    custom_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """The endpoint's answer."""

    status: int
    body: Mapping[str, Any]


class LineRunner(Protocol):
    """Sends a request to an endpoint at low priority."""

    async def __call__(self, call: LineCall) -> LineAnswer:
        """The answer; errors are answers too, and none is raised."""
        ...


async def stopped_within(stop: asyncio.Event, delay_s: float) -> bool:
    """Wait for `delay_s`, or until the batch is stopped; returns whether it was stopped."""
    try:
        await asyncio.wait_for(stop.wait(), delay_s)
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class RetryingRunner:
    """Retries a line until it is answered, with exponential backoff and full jitter.

    Attributes:
        run: makes one attempt.
        slots: limits the number of lines that run at once; a line that waits holds no slot.
        pause: waits between two attempts, and returns whether the batch was stopped.
        chance: returns a random number from 0 to 1.
    """

    run: LineRunner
    config: BatchesConfig
    slots: AbstractAsyncContextManager[object]
    pause: Callable[[asyncio.Event, float], Awaitable[bool]] = stopped_within
    chance: Callable[[], float] = field(default=random.random)

    async def answered(self, call: LineCall, stop: asyncio.Event) -> LineAnswer | None:
        """The final answer; None if the batch was stopped before there was one."""
        config = self.config
        policy = RetryPolicy(None, config.retry_base_s, config.retry_most_s)
        retries = policy.retries(self.chance)
        while not stop.is_set():
            async with self.slots:
                answer = await self.run(call)
            if answer.status not in _BUSY:
                return answer
            pause_s = retries.pause_s()
            if pause_s is None or await self.pause(stop, pause_s):
                return None
        return None
