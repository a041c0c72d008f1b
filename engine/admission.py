"""The waiting room: ordered by priority, bounded, safe to fill from any thread."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable

from enginehouse.engine.job import Job

from enginehouse.contract import PROBE_PRIORITY
from enginehouse.errors import EngineUnavailableError, QueueFullError


class WaitingRoom:
    """Jobs that are not in the batch yet."""

    def __init__(self, capacity: int, free_slots: int) -> None:
        """Room for `capacity` jobs beyond those that the batch can take at once."""
        self._capacity = capacity
        self._free_slots = free_slots
        self._heap: list[tuple[int, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed: str | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, *jobs: Job) -> None:
        """Add the jobs of one request: all of them, or none.

        Raises:
            QueueFullError: with the limit.
            EngineUnavailableError: after `close`.
        """
        with self._changed:
            if self._closed is not None:
                raise EngineUnavailableError(self._closed)
            room = self._capacity + self._free_slots - len(self._heap)
            if room < len(jobs) and jobs[0].request.priority < PROBE_PRIORITY:
                raise QueueFullError(
                    f"the engine's queue is full: {len(self._heap)} requests wait already; "
                    "try again later"
                )
            for job in jobs:
                heapq.heappush(self._heap, (-job.request.priority, next(self._order), job))
            self._changed.notify()

    def free_slots(self, count: int) -> None:
        """Tell how many jobs the batch can take at once."""
        with self._changed:
            self._free_slots = count

    def take(self, most: int) -> list[Job]:
        """Remove up to `most` jobs, highest priority first, then first come first served."""
        with self._changed:
            taken = [heapq.heappop(self._heap)[2] for _ in range(min(most, len(self._heap)))]
            self._free_slots = most - len(taken)
            return taken

    def take_probe(self) -> list[Job]:
        """Remove the first job if it is a health probe."""
        with self._changed:
            if self._heap and self._heap[0][2].request.priority >= PROBE_PRIORITY:
                return [heapq.heappop(self._heap)[2]]
            return []

    def remove(self, jobs: Iterable[Job]) -> None:
        """Remove these jobs wherever they stand."""
        gone = set(map(id, jobs))
        if not gone:
            return
        with self._changed:
            self._heap = [entry for entry in self._heap if id(entry[2]) not in gone]
            heapq.heapify(self._heap)

    def snapshot(self) -> list[Job]:
        """The waiting jobs, in no particular order."""
        with self._changed:
            return [entry[2] for entry in self._heap]

    def wait(self) -> bool:
        """Wait for a job or the end; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._heap or self._closed is not None)
            return self._closed is None

    def wake(self) -> None:
        """Nothing changed here, but the waiter should look around."""
        with self._changed:
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed is not None

    def close(self, reason: str) -> list[Job]:
        """Refuse everything from now on with `reason`; return who was waiting."""
        with self._changed:
            self._closed = self._closed or reason
            left = [entry[2] for entry in self._heap]
            self._heap.clear()
            self._changed.notify_all()
            return left
