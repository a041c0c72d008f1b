"""A sink that gathers a request's answers and lets a test wait for their end."""

from __future__ import annotations

import threading
from collections import defaultdict

from enginehouse.engine.job import Job

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, FinishReason

_TIMEOUT_S = 120.0


class Collector:
    """Everything that came for one request, by sequence."""

    def __init__(self, sequences: int = 1) -> None:
        self.ids: dict[int, list[int]] = defaultdict(list)
        self.finishes: dict[int, FinishReason] = {}
        self.error: ServingError | None = None
        self.gone = False
        self.admitted = threading.Event()
        self._sequences = sequences
        self._ended = threading.Event()
        self._started = threading.Event()

    def send(self, job: Job, chunk: Chunk, /) -> None:
        index = job.request.sequence_index
        self.ids[index].extend(chunk.token_ids)
        self._started.set()
        if chunk.finish is not None:
            self.finishes[index] = chunk.finish
            if len(self.finishes) == self._sequences:
                self._ended.set()

    def fail(self, error: ServingError) -> None:
        self.error = error
        self._ended.set()

    def cancelled(self) -> bool:
        return self.gone

    def started(self) -> None:
        assert self._started.wait(_TIMEOUT_S)

    def wait(self) -> list[int]:
        """The first sequence's ids, once all have ended; the error, if there was one."""
        assert self._ended.wait(_TIMEOUT_S)
        if self.error is not None:
            raise self.error
        return self.ids[0]
