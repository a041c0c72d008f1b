"""One request's way over the replicas: whom to ask next, and when to give up."""

from __future__ import annotations

import asyncio

from enginehouse.client.members import Member, Members, Wanted
from enginehouse.client.policy import RetryPolicy

from enginehouse.errors import (
    EngineUnavailableError,
    ModelNotFoundError,
    QueueFullError,
    ServingError,
)

#: Another replica is asked at once this often; a request that kills its engine would kill them all.
_AT_ONCE = 2


class Course:
    """Attempts at one request, or at the rest of a cut one.

    Attributes:
        wanted: what is to be ready.
        received: an attempt of this course has brought something.
    """

    def __init__(
        self, members: Members, wanted: Wanted, retry: RetryPolicy, *, patient: bool = False
    ) -> None:
        """`patient`: a full queue is waited for."""
        self.wanted = wanted
        self.received = False
        self._members = members
        self._pauses = retry.pauses_s()
        self._patient = patient
        self._tried: list[Member] = []
        self._worst: ServingError | None = None

    async def member(self) -> Member:
        """The replica to ask.

        Raises:
            EngineUnavailableError: if there is none at all.
        """
        found = self._members.pick(self.wanted, self._tried)
        if found is None:
            await self._members.look()
            found = self._members.pick(self.wanted, self._tried)
        found = found or self._members.any(self.wanted, self._tried)
        if found is None:
            raise EngineUnavailableError("the fleet has no replica: see ENGINEHOUSE_FLEET")
        return found

    async def failed(self, member: Member, error: ServingError) -> None:
        """Note a failure; return when the next attempt is due.

        Raises:
            ServingError: `error`, or one before it that says more, when there is no next attempt.
        """
        if not isinstance(error, QueueFullError):
            member.failed(self.wanted)
            member.look()
        if self._worst is None or not isinstance(error, ModelNotFoundError):
            self._worst = error
        self._tried.append(member)
        if len(self._tried) <= _AT_ONCE and self._members.pick(self.wanted, self._tried):
            return
        pause_s = next(self._pauses, None)
        if pause_s is None or (isinstance(error, QueueFullError) and not self._patient):
            raise self._worst
        self._tried.clear()
        await asyncio.sleep(pause_s)
