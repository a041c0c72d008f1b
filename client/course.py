"""Chooses the replica for each attempt at a request, and decides when to give up."""

from __future__ import annotations

import asyncio

from enginehouse.client.members import FleetMember, Members, RequestedModel

from enginehouse.errors import (
    EngineUnavailableError,
    ModelNotFoundError,
    QueueFullError,
    ServingError,
)
from enginehouse.retry import RetryPolicy

#: Number of immediate attempts on other replicas. More would let a request that kills its engine
#: kill all of them.
_AT_ONCE = 2


class Course:
    """The attempts at one request, or at the rest of an interrupted one.

    Attributes:
        wanted: the model that has to be ready on the replica.
        received: whether an attempt of this course has received tokens.
    """

    def __init__(
        self, members: Members, wanted: RequestedModel, retry: RetryPolicy, *, patient: bool = False
    ) -> None:
        """`patient`: retry also when the queue is full."""
        self.wanted = wanted
        self.received = False
        self._members = members
        self._retries = retry.retries()
        self._patient = patient
        self._tried: list[FleetMember] = []
        self._worst: ServingError | None = None

    async def member(self) -> FleetMember:
        """Choose the replica for the next attempt.

        Raises:
            EngineUnavailableError: if the fleet has no replica.
        """
        found = self._members.pick(self.wanted, self._tried)
        if found is None:
            await self._members.look()
            found = self._members.pick(self.wanted, self._tried)
        found = found or self._members.any(self.wanted, self._tried)
        if found is None:
            raise EngineUnavailableError("the fleet has no replica: see ENGINEHOUSE_FLEET")
        return found

    async def failed(self, member: FleetMember, error: ServingError, left_s: float | None) -> None:
        """Record a failed attempt; return when the next attempt is due.

        Args:
            left_s: time that the request has left, in seconds; None means no limit.

        Raises:
            ServingError: without a next attempt: `error`, or an earlier, more specific one.
        """
        if not isinstance(error, QueueFullError):
            member.failed(self.wanted)
            member.look()
        if self._worst is None or not isinstance(error, ModelNotFoundError):
            self._worst = error
        self._tried.append(member)
        if len(self._tried) <= _AT_ONCE and self._members.pick(self.wanted, self._tried):
            return
        pause_s = self._retries.pause_s(left_s=left_s)
        if pause_s is None or (isinstance(error, QueueFullError) and not self._patient):
            raise self._worst
        self._tried.clear()
        await asyncio.sleep(pause_s)
