"""Only threads that compute have a lower priority."""

from __future__ import annotations

import os
import threading

from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.priority import giving_way

from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from tests.engine.collect import Collector
from tests.engine.fakes import CountingRuntime


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_what_is_made_gives_way_and_who_makes_it_does_not() -> None:
    before = _nice()
    assert giving_way(_nice) == max(5, before)
    assert _nice() == before


def _nice_of_a_step(*, computes_here: bool) -> int:
    seen: list[int] = []

    class Watching(CountingRuntime):
        def step(self) -> None:
            seen.append(_nice())
            super().step()

    runtime = Watching()
    runtime.computes_here = computes_here
    loop = EngineLoop(runtime, EngineSettings())
    sink = Collector()
    loop.submit(GenerationRequest([1], 3), sink)
    loop.start()
    sink.wait()
    loop.close()
    return seen[0]


def test_only_steps_that_compute_on_these_cores_give_way() -> None:
    before = _nice()
    assert _nice_of_a_step(computes_here=True) == max(5, before)
    assert _nice_of_a_step(computes_here=False) == before
