"""A runtime that counts instead of computing: for the loop's logic only."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from enginehouse.engine.job import Job
from enginehouse.engine.runtime import Drained, SlotState

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, FinishReason, GenerationRequest

#: A prompt that starts with this id makes every step of its batch fail.
POISON = 666


@dataclass
class CountingSlot:
    """Generates 0, 1, 2, … up to the request's limit."""

    request: GenerationRequest
    at: int
    ready: list[int] = field(default_factory=list)
    cancelled: bool = False

    def drain(self) -> Drained:
        ids, self.ready = self.ready, []
        over = self.at >= self.request.max_tokens
        return Drained(ids, [], SlotState.FINISHED_LENGTH if over else SlotState.RUNNING)

    def cancel(self) -> None:
        self.cancelled = True


class CountingRuntime:
    """One token for each slot a step; `gate` lets a test hold the loop between steps."""

    unsupported_inputs: frozenset[str] = frozenset()
    bad_words_need_a_guide = False
    computes_here = False
    block_tokens = 16
    kv_blocks = 100

    def __init__(self) -> None:
        self.slots: list[CountingSlot] = []
        self.admitted: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.most_at_once = 0

    def check(self, request: GenerationRequest) -> None: ...

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> CountingSlot:
        slot = CountingSlot(request, len(generated))
        self.slots.append(slot)
        self.admitted.append(request.input_ids[0])
        return slot

    def step(self) -> None:
        self.gate.wait()
        self.slots = [s for s in self.slots if not s.cancelled and s.at < s.request.max_tokens]
        if self.broken or any(slot.request.input_ids[0] == POISON for slot in self.slots):
            raise RuntimeError("poisoned")
        self.most_at_once = max(self.most_at_once, len(self.slots))
        for slot in self.slots:
            slot.ready.append(slot.at)
            slot.at += 1

    def kv_cache_usage(self) -> float:
        return len(self.slots) / 10


class Collector:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.error: ServingError | None = None
        self.done = threading.Event()
        self.first = threading.Event()
        self.gone = False

    @property
    def ids(self) -> list[int]:
        return [i for chunk in self.chunks for i in chunk.token_ids]

    @property
    def finish(self) -> FinishReason | None:
        return self.chunks[-1].finish if self.chunks else None

    def send(self, _job: Job, chunk: Chunk, /) -> None:
        self.chunks.append(chunk)
        self.first.set()
        if chunk.finish is not None:
            self.done.set()

    def fail(self, error: ServingError) -> None:
        self.error = error
        self.done.set()

    def cancelled(self) -> bool:
        return self.gone

    def wait(self) -> Collector:
        assert self.done.wait(20), "the request did not end"
        return self
