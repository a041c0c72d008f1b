"""Reads facts about a model from its loaded configuration (`inference.ModelConfig`)."""

from __future__ import annotations

from typing import Any

from enginehouse import contract
from enginehouse.names import TENSORRT_LLM


def is_embedding(config: Any) -> bool:
    """Whether the configuration is that of an embedding model."""
    wanted = {spec.name for spec in contract.EMBEDDING_OUTPUTS}
    return {tensor.name for tensor in config.output} == wanted


def pinned_version(config: Any) -> int | None:
    """The version that an ensemble is pinned to; None if `config` is not such an ensemble."""
    for step in config.ensemble_scheduling.step:
        if step.model_name.endswith(f".{TENSORRT_LLM}"):
            return int(step.model_version)
    return None
