"""The reference result: what torch computes in float32 from a checkpoint on the proof set.

A reference is identified by the digests of the checkpoint and the proof set.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NextTokenDistribution(_Frozen):
    """The likeliest next tokens at one position and their natural log-probabilities."""

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]


class TextReference(_Frozen):
    """One text of the proof set.

    Attributes:
        token_ids: the n ids of the text.
        log_probs: log-probability of each id after the first, given those before it: n - 1 values.
        distributions: after the ids at 0, k, 2k, … with k = `proof_set.DISTRIBUTION_EVERY`.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    distributions: tuple[NextTokenDistribution, ...]


class Continuation(_Frozen):
    """A prompt's ids and the greedy ids that follow."""

    prompt_ids: tuple[int, ...]
    generated_ids: tuple[int, ...]


class ProofReference(_Frozen):
    """The reference result that a proof compares an engine with."""

    schema_version: Literal[1] = 1
    checkpoint_sha256: str
    proof_set: str
    made_with: dict[str, str]
    texts: tuple[TextReference, ...]
    greedy: tuple[Continuation, ...]
    tasks: tuple[Continuation, ...]
    tasks_solved: tuple[bool, ...]
