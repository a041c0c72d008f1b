"""Validates finished answers against their JSON Schema, as a check of the grammar."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from enginehouse.engine.job import Job, Sink

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, FinishReason


class JudgedSink:
    """Forwards every call to a sink, and passes each complete answer to a validator."""

    def __init__(self, sink: Sink, judge: Callable[[Sequence[int]], None]) -> None:
        """Wrap `sink`; `judge` gets the ids of each answer that was not cut, and must not block."""
        self._sink = sink
        self._judge = judge

    def send(self, job: Job, chunk: Chunk, /) -> None:
        """See `Sink`."""
        self._sink.send(job, chunk)
        if chunk.finish is FinishReason.STOP and not _cut(job):
            ends = job.request.end_ids
            self._judge([token for token in job.generated if token not in ends])

    def fail(self, error: ServingError) -> None:
        """See `Sink`."""
        self._sink.fail(error)

    def cancelled(self) -> bool:
        """See `Sink`."""
        return self._sink.cancelled()


def _cut(job: Job) -> bool:
    """Whether a stop sequence of the caller ended the answer, which may then be incomplete JSON."""
    return any(
        tuple(job.generated[-len(stop) :]) == stop for stop in job.request.stop_sequences if stop
    )
