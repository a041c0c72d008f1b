"""The interface of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from enginehouse.generation import GenerationRequest


class SlotState(Enum):
    """The state of a sequence."""

    RUNNING = auto()
    FINISHED_STOP = auto()
    FINISHED_LENGTH = auto()
    OUT_OF_MEMORY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Drained:
    """The tokens of a slot since the last `drain`.

    Attributes:
        log_probs: one for each token, or empty.
        error: the reason, if the state is `FAILED`.
        prompt_log_probs: sent with the first tokens if the request asks for them; see `Chunk`.
    """

    token_ids: list[int]
    log_probs: list[float]
    state: SlotState
    error: str = ""
    prompt_log_probs: Sequence[float] = ()


class SequenceSlot(Protocol):
    """One sequence in flight."""

    def drain(self) -> Drained:
        """Return the new tokens without blocking."""
        ...

    def cancel(self) -> None:
        """Abort the sequence. Its KV cache blocks are free after the next step."""
        ...


class Runtime(Protocol):
    """An engine with in-flight batching, driven from one thread."""

    #: Inputs of the contract that this runtime does not support.
    unsupported_inputs: frozenset[str]
    #: True if the runtime has no bad-words input, so that they are enforced by a guide.
    bad_words_need_a_guide: bool
    #: True if a step computes on this host's CPU cores, which Triton and the adapter use as well.
    computes_here: bool
    #: Tokens in one block of the KV cache; 0 if unknown.
    block_tokens: int
    #: Number of KV cache blocks; 0 if unknown.
    kv_blocks: int

    def check(self, request: GenerationRequest) -> None:
        """Check that the runtime can serve a request. Thread-safe.

        Raises:
            InvalidRequestError: names the field that is invalid or not supported.
        """
        ...

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> SequenceSlot:
        """Add a request to the batch.

        Args:
            request: the request.
            generated: tokens that an interrupted request already has; it continues after them.

        Raises:
            RuntimeError: if the runtime refuses it.
        """
        ...

    def step(self) -> None:
        """Advance the sequences of the batch by one scheduling step.

        Raises:
            RuntimeError: if the step failed. All slots must be cancelled before the next step.
        """
        ...

    def kv_cache_usage(self) -> float:
        """Share of the KV cache pool in use after the last step, 0 to 1."""
        ...

    def close(self) -> None:
        """Release the engine's memory. The runtime cannot be used afterwards."""
        ...
