from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.engine.coalescing import tokens_per_response
from enginehouse.engine.job import Job
from enginehouse.engine.loop import EngineLoop

from enginehouse.contract import PROBE_PRIORITY
from enginehouse.errors import EngineUnavailableError, QueueFullError, ServingError
from enginehouse.generation import Chunk, FinishReason, GenerationRequest
from enginehouse.manifest import EngineSettings
from tests.engine.fakes import POISON, Collector, CountingRuntime


class Bench:
    """A loop over a counting runtime."""

    def __init__(self, **settings: Any) -> None:
        self.runtime = CountingRuntime()
        self.loop = EngineLoop(self.runtime, EngineSettings(**settings))

    def submit(self, first: int = 1, tokens: int = 5, **options: object) -> Collector:
        sink = Collector()
        self.loop.submit(GenerationRequest([first], tokens, **options), sink)
        return sink


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(max_batch=4, max_queue=2)
    yield made
    made.runtime.gate.set()
    made.loop.close()


def test_tokens_arrive_in_order_and_the_end_has_a_reason(bench: Bench) -> None:
    sink = bench.submit(tokens=7)
    bench.loop.start()
    assert sink.wait().ids == list(range(7))
    assert sink.finish is FinishReason.LENGTH
    assert bench.loop.stats.completed == 1


def test_a_whole_answer_is_one_response(bench: Bench) -> None:
    sink = bench.submit(tokens=7, streaming=False)
    bench.loop.start()
    assert len(sink.wait().chunks) == 1


def test_a_deterministic_engine_has_one_answer_in_a_step_and_a_probe_none() -> None:
    bench = Bench(max_batch=4, deterministic=True)
    first = bench.submit(11, tokens=20_000)
    others = [bench.submit(12, tokens=3) for _ in range(3)]
    bench.loop.start()
    assert first.first.wait(20)
    assert bench.submit(13, tokens=1, priority=PROBE_PRIORITY).wait().ids == []
    assert not first.done.is_set()
    for sink in (first, *others):
        assert sink.wait().finish is FinishReason.LENGTH
    assert bench.runtime.most_at_once == 1
    # Without other requests a probe is handled like any request.
    assert bench.submit(13, tokens=1, priority=PROBE_PRIORITY).wait().ids == [0]
    bench.loop.close()


def test_admission_goes_by_priority_then_by_arrival() -> None:
    bench = Bench(max_batch=1, max_queue=9)
    priorities = {11: 0, 12: 5, 13: 0, 14: 5}
    sinks = [bench.submit(first, priority=p) for first, p in priorities.items()]
    bench.loop.start()
    for sink in sinks:
        sink.wait()
    assert bench.runtime.admitted == [12, 14, 11, 13]
    bench.loop.close()


def test_a_full_queue_refuses_and_counts(bench: Bench) -> None:
    sinks = [bench.submit() for _ in range(6)]
    with pytest.raises(QueueFullError, match="6 requests wait"):
        bench.submit()
    assert bench.loop.stats.rejected == 1
    bench.loop.start()
    assert all(sink.wait().ids == list(range(5)) for sink in sinks)


def test_a_probe_gets_through_a_full_batch_and_a_full_queue(bench: Bench) -> None:
    busy = [bench.submit(tokens=10_000) for _ in range(4)]
    bench.loop.start()
    for sink in busy:
        assert sink.first.wait(20)
    waiting = [bench.submit(tokens=1) for _ in range(2)]
    with pytest.raises(QueueFullError):
        bench.submit()
    probes = [bench.submit(tokens=1, priority=PROBE_PRIORITY) for _ in range(3)]
    assert all(probe.wait().ids == [0] for probe in probes)
    assert not any(sink.done.is_set() for sink in (*busy, *waiting))


def test_a_mistake_in_delivery_fails_everyone_instead_of_hanging(bench: Bench) -> None:
    class Faulty(Collector):
        def send(self, _job: Job, _chunk: Chunk, /) -> None:
            raise ValueError("a bug")

    other = bench.submit(tokens=10_000)
    bench.loop.start()
    assert other.first.wait(20)
    bench.loop.submit(GenerationRequest([1], 5), Faulty())
    assert isinstance(other.wait().error, EngineUnavailableError)
    with pytest.raises(EngineUnavailableError):
        bench.submit()


def test_a_gone_client_frees_its_slot_within_one_step(bench: Bench) -> None:
    sink, other = bench.submit(tokens=10_000), bench.submit(tokens=50)
    bench.loop.start()
    assert sink.first.wait(20)
    sink.gone = True
    assert sink.wait().finish is FinishReason.CANCELLED
    assert other.wait().ids == list(range(50))
    assert bench.loop.stats.cancelled == 1


def test_stop_by_id_ends_running_and_waiting_requests() -> None:
    bench = Bench(max_batch=1)
    running = bench.submit(tokens=10_000, request_id="a")
    bench.loop.start()
    assert running.first.wait(20)
    waiting = bench.submit(tokens=10_000, request_id="b")
    assert bench.loop.cancel("b") == 1
    assert waiting.wait().ids == []
    assert bench.loop.cancel("a") == 1
    assert running.wait().finish is FinishReason.CANCELLED
    assert bench.loop.cancel("a") == 0
    bench.loop.close()


def test_a_poisoned_request_fails_alone_and_others_miss_no_token(bench: Bench) -> None:
    others = [bench.submit(tokens=60) for _ in range(3)]
    bench.loop.start()
    for other in others:
        assert other.first.wait(20)
    poisoned = bench.submit(POISON)
    assert isinstance(poisoned.wait().error, ServingError)
    assert all(other.wait().ids == list(range(60)) for other in others)
    assert bench.loop.stats.recoveries == 1


def test_of_several_suspects_only_the_poisoned_one_fails(bench: Bench) -> None:
    sinks = [bench.submit(first, tokens=20) for first in (1, POISON, 2, 3)]
    bench.loop.start()
    outcomes = [sink.wait().error is None for sink in sinks]
    assert outcomes == [True, False, True, True]
    assert all(s.ids == list(range(20)) for s in sinks if s.error is None)


def test_a_runtime_that_does_not_recover_fails_everyone_and_refuses_the_next(bench: Bench) -> None:
    sinks = [bench.submit(tokens=10_000) for _ in range(2)]
    bench.loop.start()
    assert sinks[0].first.wait(20)
    bench.runtime.broken = True
    assert all(isinstance(sink.wait().error, EngineUnavailableError) for sink in sinks)
    with pytest.raises(EngineUnavailableError):
        bench.submit()


def test_stop_sequences_match_across_steps_and_stay_in_the_answer(bench: Bench) -> None:
    sink = bench.submit(tokens=100, stop_sequences=((3, 4, 5), (50,)))
    bench.loop.start()
    assert sink.wait().ids == [0, 1, 2, 3, 4, 5]
    assert sink.finish is FinishReason.STOP


def test_closing_fails_what_is_left(bench: Bench) -> None:
    sink = bench.submit(tokens=10**9)
    bench.loop.start()
    assert sink.first.wait(20)
    bench.loop.close()
    assert isinstance(sink.wait().error, EngineUnavailableError)


def test_coalescing_grows_with_load_and_never_delays_the_first_token() -> None:
    assert tokens_per_response(1, step_s=0.03) == 1
    sizes = [tokens_per_response(streams, step_s=0.03) for streams in range(1, 200)]
    assert sizes == sorted(sizes)
    bench = Bench(max_batch=40)
    sinks = [bench.submit(tokens=64) for _ in range(40)]
    bench.loop.start()
    for sink in sinks:
        sink.wait()
        assert len(sink.chunks[0].token_ids) == 1
        assert len(sink.chunks) < 64 / 2
        assert sink.ids == list(range(64))
    bench.loop.close()


@pytest.mark.parametrize(
    ("step_s", "tokens"), [(0.0, 8), (0.001, 8), (0.005, 4), (0.01, 2), (0.017, 1), (1.0, 1)]
)
def test_an_engine_that_is_faster_than_a_screen_gathers_a_picture_s_tokens(
    step_s: float, tokens: int
) -> None:
    assert tokens_per_response(1, step_s) == tokens
    assert tokens_per_response(1000, step_s) == 8


def test_without_coalescing_every_token_is_a_response() -> None:
    bench = Bench(max_batch=40, coalescing=False)
    sinks = [bench.submit(tokens=20) for _ in range(40)]
    bench.loop.start()
    assert [len(sink.wait().chunks) for sink in sinks] == [20] * 40
    bench.loop.close()


def test_a_response_never_ends_inside_a_character() -> None:
    runtime = CountingRuntime()
    # Ids 0, 1, 2 together are one euro sign; 3 is a letter, and so on.
    table = [b"\xe2", b"\x82", b"\xac", b"x"] * 3
    loop = EngineLoop(runtime, EngineSettings(), token_bytes=table)
    sink = Collector()
    loop.submit(GenerationRequest([1], 12), sink)
    loop.start()
    sink.wait()
    loop.close()
    texts = [b"".join(table[i] for i in chunk.token_ids).decode() for chunk in sink.chunks]
    assert "".join(texts) == "€x€x€x"


def test_a_step_that_never_returns_ends_the_process_instead_of_hanging() -> None:
    # PyDLL keeps the GIL during the call, as the runtime's step does.
    program = textwrap.dedent(
        """
        import ctypes
        from enginehouse.engine.loop import EngineLoop
        from enginehouse.generation import GenerationRequest
        from enginehouse.manifest import EngineSettings
        from tests.engine.fakes import Collector, CountingRuntime

        class Hanging(CountingRuntime):
            def step(self):
                if self.slots:
                    ctypes.PyDLL(None).sleep(600)

        loop = EngineLoop(Hanging(), EngineSettings(step_timeout_s=0.2))
        sink = Collector()
        loop.submit(GenerationRequest([1], 5), sink)
        loop.start()
        sink.done.wait()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "in step" in done.stderr
