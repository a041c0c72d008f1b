"""Responses of one step are sent in parallel, those of one request in sequence."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from enginehouse.engine.job import Job
from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.senders import Senders

from enginehouse.generation import Chunk, GenerationRequest
from enginehouse.manifest import EngineSettings
from tests.engine.fakes import Collector, CountingRuntime

_PATIENCE_S = 20.0


def test_as_many_calls_as_senders_are_made_at_once() -> None:
    senders = Senders(4)
    together = threading.Barrier(4)
    senders.run([lambda: together.wait(_PATIENCE_S) and None for _ in range(4)])
    assert not together.broken
    senders.close()


def test_one_sender_makes_all_calls_in_order_in_the_thread_that_asks() -> None:
    made: list[tuple[int, int]] = []
    Senders(1).run([lambda n=n: made.append((n, threading.get_ident())) for n in range(5)])
    assert made == [(n, threading.get_ident()) for n in range(5)]


@pytest.mark.parametrize("count", [1, 4])
def test_a_call_that_fails_is_raised_after_all_others_were_made(count: int) -> None:
    made = []
    senders = Senders(count)

    def call(number: int) -> None:
        if number == 2:
            raise ValueError("a bug")
        made.append(number)

    with pytest.raises(ValueError, match="a bug"):
        senders.run([partial(call, number) for number in range(8)])
    assert sorted(made) == [0, 1, 3, 4, 5, 6, 7]
    senders.close()


def test_closing_ends_the_threads() -> None:
    before = threading.active_count()
    senders = Senders(4)
    threads = [t for t in threading.enumerate() if t.name.startswith("sender-")]
    senders.close()
    for thread in threads:
        thread.join(_PATIENCE_S)
    assert threading.active_count() <= before


class _Meeting(Collector):
    """Blocks in its first response until another request's is being sent."""

    together = threading.Barrier(2)

    def send(self, job: Job, chunk: Chunk, /) -> None:
        if not self.chunks:
            self.together.wait(_PATIENCE_S)
        super().send(job, chunk)


class _Alone(Collector):
    """Records whether two threads ever sent to it at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.collisions = 0
        self.ended = 0

    def send(self, _job: Job, chunk: Chunk, /) -> None:
        if not self.lock.acquire(blocking=False):
            self.collisions += 1
            return
        # Another thread that would send at the same time does so during this wait.
        threading.Event().wait(0.001)
        self.chunks.append(chunk)
        self.ended += chunk.finish is not None
        if self.ended == 3:
            self.done.set()
        self.lock.release()


def test_the_loop_sends_to_two_requests_at_once() -> None:
    loop = EngineLoop(CountingRuntime(), EngineSettings())
    sinks = [_Meeting(), _Meeting()]
    for sink in sinks:
        loop.submit(GenerationRequest([1], 5), sink)
    loop.start()
    assert [sink.wait().ids for sink in sinks] == [list(range(5))] * 2
    loop.close()


def test_answers_to_one_request_are_sent_one_after_another() -> None:
    loop = EngineLoop(CountingRuntime(), EngineSettings())
    sink, other = _Alone(), Collector()
    loop.submit(GenerationRequest([1], 20, sequences=3), sink)
    loop.submit(GenerationRequest([1], 20), other)
    loop.start()
    sink.wait()
    other.wait()
    assert sink.collisions == 0
    assert len(sink.ids) == 60
    loop.close()
