"""The state of one request in the engine loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from enginehouse.engine.runtime import Drained, SequenceSlot, SlotState

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, Drafts, FinishReason, GenerationRequest, Timings
from enginehouse.text.detokenizer import CharacterBoundary

#: One character is at most this many tokens, so a response waits no longer for a boundary.
_LONGEST_CHARACTER_TOKENS = 4


class Sink(Protocol):
    """Receives a request's answer. Calls never overlap, but may come from different threads."""

    def send(self, job: Job, chunk: Chunk, /) -> None:
        """Deliver tokens. A chunk with `finish` set is the last call for this job."""
        ...

    def fail(self, error: ServingError) -> None:
        """Deliver an error; nothing is sent after it."""
        ...

    def cancelled(self) -> bool:
        """Whether the client has cancelled or disconnected."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """A request with its sink and its progress.

    Attributes:
        boundary: says whether the tokens so far end a character.
        slot: its sequence in the runtime; None while it is not in the batch.
        generated: all tokens so far. A job can be admitted again and continue after them.
        stop_requested: set by the contract's `stop` input; the job ends before the next step.
        drafts: counts of speculative tokens.
    """

    request: GenerationRequest
    sink: Sink
    boundary: CharacterBoundary
    slot: SequenceSlot | None = None
    generated: list[int] = field(default_factory=list)
    stop_requested: bool = False
    drafts: Drafts = field(default_factory=Drafts)
    timings: Timings = field(default_factory=lambda: Timings(arrival_ns=time.monotonic_ns()))
    _pending: list[int] = field(default_factory=list)
    _pending_log_probs: list[float] = field(default_factory=list)
    _prompt_log_probs: Sequence[float] = ()
    _boundary_closed: bool = True
    _finish: FinishReason | None = None
    _responses: int = 0

    @property
    def finished(self) -> bool:
        """Whether the last token has been generated."""
        return self._finish is not None

    def take(self, drained: Drained) -> int:
        """Add drained tokens up to the first stop sequence; return how many were added."""
        ids = drained.token_ids
        log_probs: Sequence[float] = drained.log_probs
        if ids:
            now = time.monotonic_ns()
            self.timings.first_token_ns = self.timings.first_token_ns or now
            self.timings.last_token_ns = now
        cut = self._stop_position(ids)
        if cut is not None:
            ids, log_probs = ids[:cut], log_probs[:cut]
            self._finish = FinishReason.STOP
        elif drained.state is SlotState.FINISHED_STOP:
            self._finish = FinishReason.STOP
        elif drained.state is SlotState.FINISHED_LENGTH:
            self._finish = FinishReason.LENGTH
        if drained.prompt_log_probs:
            self._prompt_log_probs = drained.prompt_log_probs
        self.generated.extend(ids)
        self._pending.extend(ids)
        self._pending_log_probs.extend(log_probs)
        self._boundary_closed = self.boundary.push(ids)
        return len(ids)

    def due(self, at_least_tokens: int) -> bool:
        """Whether to send a response now.

        The first token and the end of the answer are sent at once. Between them a response is sent
        when `at_least_tokens` are pending and end a character.
        """
        if self._finish is not None:
            return True
        count = len(self._pending)
        if not count or not self.request.streaming:
            return False
        wanted = at_least_tokens if self._responses else 1
        if count < wanted:
            return False
        return self._boundary_closed or count >= wanted + _LONGEST_CHARACTER_TOKENS

    def flush(self) -> None:
        """Send the pending tokens; this is the last response if the job has finished."""
        chunk = Chunk(
            self._pending,
            self._pending_log_probs,
            self._finish,
            prompt_log_probs=self._prompt_log_probs,
        )
        self._pending, self._pending_log_probs, self._prompt_log_probs = [], [], ()
        self._responses += 1
        self.sink.send(self, chunk)

    def restart(self) -> bool:
        """Discard the generated tokens; return False if some have already been sent."""
        if self._responses:
            return False
        self.generated.clear()
        self._pending.clear()
        self._pending_log_probs.clear()
        self.boundary.restart()
        self._boundary_closed = True
        self.timings.first_token_ns = self.timings.last_token_ns = 0
        return True

    def end(self, reason: FinishReason) -> None:
        """Finish the job now and send the pending tokens."""
        self._finish = reason
        self.flush()

    def _stop_position(self, ids: list[int]) -> int | None:
        """Number of new ids up to the end of the first stop sequence; None if there is none."""
        if not self.request.stop_sequences:
            return None
        longest = max(len(s) for s in self.request.stop_sequences)
        # A stop sequence may begin in tokens of earlier steps.
        before = self.generated[len(self.generated) - min(longest - 1, len(self.generated)) :]
        window = [*before, *ids]
        for end in range(len(before) + 1, len(window) + 1):
            for stop in self.request.stop_sequences:
                if end >= len(stop) and tuple(window[end - len(stop) : end]) == stop:
                    return end - len(before)
        return None
