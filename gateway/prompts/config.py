"""Section `prompts` of the endpoint's file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PromptsConfig(BaseModel):
    """Section `prompts` of the endpoint's file.

    Attributes:
        enabled: whether requests may name prompts. Prompts of model settings are used in any case.
        names: prompts that requests may name; None means every prompt of the registry.
        default_alias: alias for requests that name neither version nor alias.
        alias_ttl_s: how long the target of an alias is cached, in seconds. Numbered versions never
            change and are cached without a limit of time.
        timeout_s: timeout of the registry, in seconds.
        most_kept: most prompts in memory.
        released: whether the prompt in a version's tag ``enginehouse.prompt`` precedes the
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
