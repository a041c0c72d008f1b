"""What the loop needs from a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from enginehouse.generation import GenerationRequest


class SlotState(Enum):
    """What became of a sequence."""

    RUNNING = auto()
    FINISHED_STOP = auto()
    FINISHED_LENGTH = auto()
    OUT_OF_MEMORY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Drained:
    """Tokens that a slot produced since it was last asked; `log_probs` may be empty.

    Attributes:
        error: why this sequence alone failed, with state `FAILED`.
        prompt_log_probs: with the first tokens, where the request asks for them; see `Chunk`.
    """

    token_ids: list[int]
    log_probs: list[float]
    state: SlotState
    error: str = ""
    prompt_log_probs: Sequence[float] = ()


class SequenceSlot(Protocol):
    """One sequence in flight."""

    def drain(self) -> Drained:
        """Take what is there, without waiting."""
        ...

    def cancel(self) -> None:
        """Give up the sequence; its KV cache blocks are free after the next step."""
        ...


class Runtime(Protocol):
    """An engine with in-flight batching, driven from one thread."""

    #: Inputs of the contract that this runtime refuses by name.
    unsupported_inputs: frozenset[str]
    #: Whether bad words reach the runtime as a guide, since it has no such input.
    bad_words_need_a_guide: bool
    #: Whether a step computes on this host's cores, which Triton and the adapter need too.
    computes_here: bool
    #: Tokens in one block of the KV cache; 0 if nobody knows.
    block_tokens: int
    #: Blocks of the KV cache; 0 if nobody knows.
    kv_blocks: int

    def check(self, request: GenerationRequest) -> None:
        """Refuse what this runtime cannot do or would choke on; called from any thread.

        Raises:
            InvalidRequestError: naming the field.
        """
        ...

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> SequenceSlot:
        """Take a request into the batch; `generated` continues one that was interrupted.

        Raises:
            RuntimeError: if the runtime refuses it.
        """
        ...

    def step(self) -> None:
        """Advance every sequence in the batch, by up to one scheduling step.

        Raises:
            RuntimeError: if the step failed; all slots must then be cancelled before the next.
        """
        ...

    def kv_cache_usage(self) -> float:
        """Share of the KV cache pool in use after the last step, 0 to 1."""
        ...

    def close(self) -> None:
        """Give the engine's memory back; nothing is asked of it afterwards."""
        ...
