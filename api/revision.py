"""A loaded version, with what is needed to speak to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from enginehouse.client import Target

from enginehouse.bundle import Bundle
from enginehouse.manifest import EngineManifest
from enginehouse.text import ChatTemplate, Tokenizer


class BundleSource(Protocol):
    """Where the bundles of versions come from; `enginehouse.registry.BundleCache` is one."""

    def path(self, name: str, version: int) -> Path:
        """Where a version's bundle is, or will be once it is fetched."""
        ...

    def fetch(self, name: str, version: int) -> Bundle:
        """Fetch a version's bundle. Blocks.

        Raises:
            RegistryError, BundleError: if there is no usable bundle.
        """
        ...


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


def open_served(source: BundleSource, name: str, version: int) -> Served:
    """Read a version's bundle, which is fetched from the registry if it is not here. Blocks.

    Raises:
        RegistryError, BundleError: if there is no usable bundle.
    """
    path = source.path(name, version)
    bundle = Bundle.open(path) if path.exists() else source.fetch(name, version)
    if bundle.manifest.embedding is not None:
        return Served(Target(name, version), bundle.manifest)
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    # Now, so that no request waits for what is only made when it is needed.
    tokenizer.encode("")
    special = bundle.manifest.special_tokens
    template = ChatTemplate(
        bundle.chat_template,
        tokenizer,
        bos_token="" if special.bos_id is None else tokenizer.token_text(special.bos_id),
        eos_token=tokenizer.token_text(special.end_ids[0]),
    )
    return Revision(Target(name, version), bundle.manifest, tokenizer, template)
