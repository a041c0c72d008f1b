"""Prompts that requests may name."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PromptsConfig(BaseModel):
    """Section `prompts` of the endpoint's file.

    Attributes:
        enabled: whether requests may name prompts; those of the models' settings are used anyway.
        names: prompts that requests may name; None is every prompt of the registry.
        default_alias: of a request that names neither version nor alias.
        alias_ttl_s: how long an alias is believed to be where it was, in seconds. A numbered
            version never changes and is kept.
        timeout_s: for the registry, in seconds.
        most_kept: prompts in memory.
        released: whether a version's tag ``enginehouse.prompt`` puts a prompt before the
            conversations that this version answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    names: frozenset[str] | None = None
    default_alias: str = "champion"
    alias_ttl_s: float = Field(default=5.0, gt=0)
    timeout_s: float = Field(default=5.0, gt=0)
    most_kept: int = Field(default=1000, ge=1)
    released: bool = False
