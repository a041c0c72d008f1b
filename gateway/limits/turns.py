"""The stage that has calls wait for their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.limits.config import FairShareConfig
from enginehouse.gateway.limits.fair_share import CLASSES, FairShare, Ticket, level_of
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.stages import LimitEnforcer

from enginehouse.errors import DeadlineError, QueueFullError


@dataclass(slots=True)
class _Place:
    """Slots of the engine that a call holds; `answered` once a piece is out."""

    answered: bool = False


class Turns:
    """In front of the engine: at most so many calls go on at once, the others wait their turn.

    A call is refused at once where it would wait longer than it may, and not when it is too late.
    """

    name = "turns"

    def __init__(
        self,
        limits: LimitEnforcer,
        config: FairShareConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._config = config
        self._clock = clock
        self._share = None if config.slots is None else FairShare(config, config.slots)
        if self._share is not None:
            _show(limits.metrics, self._share)
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`.

        Raises:
            QueueFullError: if the call would wait too long.
            DeadlineError: if the caller's time has run out while it waited.
        """
        share = self._share
        if share is None:
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        async with self._place(share, call) as place, aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                place.answered = True
                yield piece

    @asynccontextmanager
    async def _place(self, share: FairShare, call: Call) -> AsyncGenerator[_Place, None]:
        """A call's slots, from its turn to its end; however it ends, they are free again."""
        ticket, place = self._ticket(call), _Place()
        await self._turn(share, ticket, call)
        try:
            yield place
        finally:
            share.finish(ticket, self._clock(), _tokens_of(call) if place.answered else 0)
            self._advance(share)

    def _ticket(self, call: Call) -> Ticket:
        assert call.expected is not None  # noqa: S101 - stages stand in their order
        assert call.choices is not None  # noqa: S101 - same
        tenant = call.caller.tenant
        return Ticket(
            tenant,
            cost=max(1, call.expected.prompt_tokens + self._limits.answer_tokens(call.expected)),
            weight=self._limits.policy.tenant(tenant).weight,
            level=level_of(call.priority),
            width=len(call.choices.generations),
        )

    async def _turn(self, share: FairShare, ticket: Ticket, call: Call) -> None:
        """Wait for it; whoever goes before it has come leaves nothing behind."""
        most_s = self._patience_s(call)
        self._refuse_early(share, ticket, most_s)
        began = self._clock()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[ticket] = waiter
        share.offer(ticket, began)
        self._advance(share)
        its_turn = False
        try:
            if not waiter.done():
                async with asyncio.timeout(most_s):
                    await waiter
            its_turn = True
        except TimeoutError:
            raise self._too_late(call, most_s) from None
        finally:
            self._waiters.pop(ticket, None)
            if not its_turn:
                share.leave(ticket, self._clock())
                self._advance(share)
        self._limits.metrics.waited(ticket.tenant, self._clock() - began)

    def _patience_s(self, call: Call) -> float:
        remaining_s = call.remaining_s()
        most_s = self._config.most_queue_s
        return most_s if remaining_s is None else min(remaining_s, most_s)

    def _refuse_early(self, share: FairShare, ticket: Ticket, most_s: float) -> None:
        predicted_s = share.predicted_s(ticket, self._clock())
        if share.waiting >= self._config.most_waiting:
            reason = f"{share.waiting} requests wait for the engine already"
        elif predicted_s > most_s:
            reason = f"the request would wait {predicted_s:.1f} s, and may wait {most_s:.1f} s"
        else:
            return
        self._limits.metrics.refused(ticket.tenant, "queue")
        after_s = max(1.0, predicted_s - most_s)
        raise QueueFullError(
            f"the engine is full: {reason}; retry in {after_s:.0f} s", retry_after_s=after_s
        )

    def _too_late(self, call: Call, most_s: float) -> QueueFullError | DeadlineError:
        self._limits.metrics.refused(call.caller.tenant, "queue")
        if call.remaining_s() == 0.0:
            return DeadlineError("the caller's time ran out while the request waited: allow more")
        return QueueFullError(
            f"the engine is full: the request has waited {most_s:.1f} s; retry later",
            retry_after_s=most_s,
        )

    def _advance(self, share: FairShare) -> None:
        """Let everybody go whose turn has come."""
        while (ticket := share.next(self._clock())) is not None:
            waiter = self._waiters[ticket]
            if not waiter.done():
                waiter.set_result(None)


def _tokens_of(call: Call) -> int:
    if call.choices is None:
        return 0
    usage = call.choices.usage
    return usage.prompt_tokens + usage.completion_tokens


def _show(metrics: LimitMetrics, share: FairShare) -> None:
    """Have gauges read the queue when somebody looks at them."""
    metrics.slots_used.set_function(lambda: share.used)
    for level, name in enumerate(CLASSES):
        metrics.queue_depth.labels(name).set_function(partial(share.depth, level))
