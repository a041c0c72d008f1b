"""The queue in front of the batch: ordered by priority, bounded, thread-safe."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterable

from enginehouse.engine.job import Job

from enginehouse.contract import PROBE_PRIORITY
from enginehouse.errors import EngineUnavailableError, QueueFullError


class WaitingRoom:
    """Jobs that have been accepted and are not in the batch yet."""

    def __init__(self, capacity: int, free_slots: int) -> None:
        """Create an empty queue.

        Args:
            capacity: most jobs that may wait beyond those that fit into the batch now.
            free_slots: jobs that the batch can take now.
        """
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

        Health probes are accepted even if the queue is full.

        Raises:
            QueueFullError: if the jobs do not fit; the message says how many wait.
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
        """Set how many jobs the batch can take now."""
        with self._changed:
            self._free_slots = count

    def take(self, most: int) -> list[Job]:
        """Remove and return up to `most` jobs: highest priority first, then oldest first."""
        with self._changed:
            taken = [heapq.heappop(self._heap)[2] for _ in range(min(most, len(self._heap)))]
            self._free_slots = most - len(taken)
            return taken

    def take_probe(self) -> list[Job]:
        """Remove and return the first job if it is a health probe; otherwise an empty list."""
        with self._changed:
            if self._heap and self._heap[0][2].request.priority >= PROBE_PRIORITY:
                return [heapq.heappop(self._heap)[2]]
            return []

    def remove(self, jobs: Iterable[Job]) -> None:
        """Remove these jobs from any position in the queue."""
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
        """Block until a job waits or the queue is closed; False once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._heap or self._closed is not None)
            return self._closed is None

    def wake(self) -> None:
        """Wake the thread in `wait`, so that it checks for cancelled jobs."""
        with self._changed:
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed is not None

    def close(self, reason: str) -> list[Job]:
        """Refuse every later job with `reason`; return the jobs that were waiting."""
        with self._changed:
            self._closed = self._closed or reason
            left = [entry[2] for entry in self._heap]
            self._heap.clear()
            self._changed.notify_all()
            return left
