"""The stage that queues calls in front of the engine, by fair share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from enginehouse.api.call import Call, Prepared
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import See
from enginehouse.gateway.limits.config import FairShareConfig
from enginehouse.gateway.limits.fair_share import CLASSES, FairShare, Ticket, level_of
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.stages import LimitEnforcer

from enginehouse.errors import DeadlineError, QueueFullError


@dataclass(slots=True)
class _Place:
    """Slots of the engine that a call holds; `answered` once a chunk is out."""

    answered: bool = False

    def see(self, _: TextChunk) -> None:
        """See `See`."""
        self.answered = True


class Turns:
    """Limits how many calls run at once; the others queue for a slot.

    A call is rejected immediately if its predicted wait exceeds its limit.
    """

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

    @asynccontextmanager
    async def enter(self, prepared: Prepared) -> AsyncGenerator[See | None, None]:
        """See `Watcher`.

        Raises:
            QueueFullError: if the call would wait too long.
            DeadlineError: if the caller's time has run out while it waited.
        """
        share = self._share
        if share is None:
            yield None
            return
        ticket, place = self._ticket(prepared), _Place()
        await self._turn(share, ticket, prepared.call)
        try:
            yield place.see
        finally:
            tokens = _tokens_of(prepared) if place.answered else 0
            share.finish(ticket, self._clock(), tokens)
            self._advance(share)

    def _ticket(self, prepared: Prepared) -> Ticket:
        expected, tenant = prepared.expected, prepared.call.caller.tenant
        return Ticket(
            tenant,
            cost=max(1, expected.prompt_tokens + self._limits.answer_tokens(expected)),
            weight=self._limits.policy.tenant(tenant).weight,
            level=level_of(prepared.call.priority),
            width=len(prepared.choices.generations),
        )

    async def _turn(self, share: FairShare, ticket: Ticket, call: Call) -> None:
        """Wait for a slot. Cancelling while queued releases the ticket."""
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
        """Start the calls that have got their slots."""
        while (ticket := share.next(self._clock())) is not None:
            waiter = self._waiters[ticket]
            if not waiter.done():
                waiter.set_result(None)


def _tokens_of(prepared: Prepared) -> int:
    usage = prepared.choices.usage
    return usage.prompt_tokens + usage.completion_tokens


def _show(metrics: LimitMetrics, share: FairShare) -> None:
    """Register gauges that read the queue at each scrape."""
    metrics.slots_used.set_function(lambda: share.used)
    for level, name in enumerate(CLASSES):
        metrics.queue_depth.labels(name).set_function(partial(share.depth, level))
