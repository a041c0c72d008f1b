"""Runtime `token_generator`: generates tokens without an engine, to measure the rest of the path.

Each step takes a set time and gives every sequence one token, like an engine that is never the
bottleneck. ``ENGINEHOUSE_PERF_STEP_MS`` sets the duration of a step in milliseconds. Requests for
at least ``ENGINEHOUSE_PERF_HELD_TOKENS`` tokens get one token and then wait, as idle streams.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from itertools import count

from enginehouse.engine.runtime import Drained, SequenceSlot, SlotState

from enginehouse.bundle import Bundle
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.settings import MeasurementSettings, read
from enginehouse.text import Tokenizer

NAME = "token_generator"
STEP_VARIABLE = "ENGINEHOUSE_PERF_STEP_MS"
HELD_VARIABLE = "ENGINEHOUSE_PERF_HELD_TOKENS"
#: Duration of a step without any token, in seconds.
_EMPTY_STEP_S = 0.5
_WORDS = " the river ran under an old bridge and into the sea"


class TokenGenerator:
    """See `Runtime`."""

    unsupported_inputs: frozenset[str] = frozenset()
    bad_words_need_a_guide = False
    computes_here = False
    block_tokens = 0
    kv_blocks = 0

    def __init__(self, bundle: Bundle, _settings: EngineSettings) -> None:
        self._ids = Tokenizer.from_file(bundle.tokenizer_path).encode(_WORDS)
        measured = read(MeasurementSettings, os.environ)
        self._step_s = measured.perf_step_ms / 1000
        self._held = measured.perf_held_tokens or sys.maxsize
        self._slots: dict[int, _Slot] = {}
        self._keys = count()
        self._next = 0.0

    def check(self, request: GenerationRequest) -> None:
        """See `Runtime.check`: everything is accepted."""

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> SequenceSlot:
        """See `Runtime.admit`."""
        key = next(self._keys)
        held = request.max_tokens >= self._held
        slot = _Slot(self._ids, request.max_tokens - len(generated), len(generated), held=held)
        self._slots[key] = slot
        return slot

    def step(self) -> None:
        """See `Runtime.step`: gives one token to each sequence, at the set interval."""
        now = time.perf_counter()
        if now < self._next:
            time.sleep(self._next - now)
        # A late loop does not catch up, as an engine would not either.
        advanced = False
        for key, slot in list(self._slots.items()):
            advanced = slot.advance() or advanced
            if slot.left <= 0:
                del self._slots[key]
        idle = bool(self._slots) and not advanced
        self._next = max(now, self._next) + (_EMPTY_STEP_S if idle else self._step_s)

    def kv_cache_usage(self) -> float:
        """See `Runtime.kv_cache_usage`."""
        return 0.0

    def close(self) -> None:
        """See `Runtime.close`."""
        self._slots.clear()


class _Slot:
    def __init__(self, ids: Sequence[int], left: int, place: int, *, held: bool) -> None:
        self._ids = ids
        self._held = held
        self.left = left
        self._place = place
        self._ready: list[int] = []

    def advance(self) -> bool:
        """Add one token unless the sequence waits after its first."""
        if self._held and self._place:
            return False
        self._ready.append(self._ids[self._place % len(self._ids)])
        self._place += 1
        self.left -= 1
        return True

    def drain(self) -> Drained:
        """See `SequenceSlot.drain`."""
        ready, self._ready = self._ready, []
        state = SlotState.RUNNING if self.left > 0 else SlotState.FINISHED_LENGTH
        return Drained(ready, [], state)

    def cancel(self) -> None:
        """See `SequenceSlot.cancel`."""
        self.left = 0


def load(bundle: Bundle, settings: EngineSettings) -> TokenGenerator:
    """Load a bundle; registered in `pyproject.toml`."""
    return TokenGenerator(bundle, settings)
