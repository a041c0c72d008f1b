"""Finished answers with a JSON Schema are held against it: the grammar's promise is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from enginehouse.engine.job import Job, Sink

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, FinishReason


class JudgedSink:
    """Passes everything on, and gives each whole answer to a judge."""

    def __init__(self, sink: Sink, judge: Callable[[Sequence[int]], None]) -> None:
        """`judge` gets the ids of an answer that ended by itself; it must not block."""
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
    """Whether one of the caller's stop sequences ended the answer: it may be half a value then."""
    return any(
        tuple(job.generated[-len(stop) :]) == stop for stop in job.request.stop_sequences if stop
    )
