"""What torch computes in float32 from a checkpoint, on the proof set.

A reference belongs to a checkpoint's digest and to a proof set's digest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NextTokenDistribution(_Frozen):
    """The likeliest next tokens at one position, natural log-probabilities, same length."""

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]


class TextReference(_Frozen):
    """One text of the proof set.

    Attributes:
        token_ids: the text, n ids.
        log_probs: of each id but the first given those before it, n - 1 values.
        distributions: after ids 0, k, 2k, … with k = `proof_set.DISTRIBUTION_EVERY`.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    distributions: tuple[NextTokenDistribution, ...]


class Continuation(_Frozen):
    """A prompt's ids and the greedy ids that follow."""

    prompt_ids: tuple[int, ...]
    generated_ids: tuple[int, ...]


class ProofReference(_Frozen):
    """All that a proof compares with."""

    schema_version: Literal[1] = 1
    checkpoint_sha256: str
    proof_set: str
    made_with: dict[str, str]
    texts: tuple[TextReference, ...]
    greedy: tuple[Continuation, ...]
    tasks: tuple[Continuation, ...]
    tasks_solved: tuple[bool, ...]
