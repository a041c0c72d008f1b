"""A loaded version, with what is needed to speak to it."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.client import Target

from enginehouse.manifest import EngineManifest
from enginehouse.text import ChatTemplate, Tokenizer


@dataclass(frozen=True, slots=True)
class Served:
    """A version that serves; as it stands, one of an embedding model."""

    target: Target
    manifest: EngineManifest

    @property
    def version(self) -> int:
        """Its number; 0 is none."""
        return self.target.version or 0

    @property
    def fingerprint(self) -> str:
        """OpenAI's `system_fingerprint`: changes when the version does."""
        return f"{self.target.model}@{self.target.version}"

    @property
    def adapters(self) -> list[str]:
        """Names of the LoRA adapters that its bundle holds."""
        return [adapter.name for adapter in self.manifest.adapters]


@dataclass(frozen=True, slots=True)
class Revision(Served):
    """A version of a text generator."""

    tokenizer: Tokenizer
    template: ChatTemplate
