"""Single flight: of identical concurrent requests one runs, and the others wait for its answer."""

from __future__ import annotations

import asyncio

from enginehouse.gateway.cache.entry import CacheEntry
from enginehouse.gateway.cache.keys import CacheKey


class Flight:
    """A request that is being answered."""

    def __init__(self) -> None:
        self._landed: asyncio.Future[CacheEntry | None] = asyncio.get_running_loop().create_future()
        self.waiters = 0

    def land(self, entry: CacheEntry | None) -> None:
        """Deliver the answer to the waiters; None if there is none that can be shared."""
        if not self._landed.done():
            self._landed.set_result(entry)

    async def wait(self, most_s: float) -> CacheEntry | None:
        """The answer; None if there is none, or not in time."""
        self.waiters += 1
        try:
            done, _ = await asyncio.wait({self._landed}, timeout=most_s)
            return self._landed.result() if done else None
        finally:
            self.waiters -= 1


class Flights:
    """The requests of this adapter that are being answered."""

    def __init__(self, most_waiters: int) -> None:
        self._most_waiters = most_waiters
        self._flying: dict[CacheKey, Flight] = {}

    def lead(self, key: CacheKey) -> Flight | None:
        """Register as the request that others wait for; None if there is one already."""
        if key in self._flying:
            return None
        self._flying[key] = flight = Flight()
        return flight

    def joinable(self, key: CacheKey) -> Flight | None:
        """The flight to wait for, if one exists and has room for another waiter."""
        flight = self._flying.get(key)
        return None if flight is None or flight.waiters >= self._most_waiters else flight

    def end(self, key: CacheKey, flight: Flight, entry: CacheEntry | None) -> None:
        """End a flight, with or without an answer."""
        del self._flying[key]
        flight.land(entry)
