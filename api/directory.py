"""Which models are served, at which version, with which text assets.

Triton is asked, not a file: an alias is an ensemble pinned to a version, so its configuration
says what serves now. The tokenizer and the template come from that version's own bundle.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Self

from enginehouse.client import AsyncTritonClient, Target
from enginehouse.model_repository.config import is_embedding, pinned_version
from enginehouse.registry import BundleCache

from enginehouse.bundle import Bundle
from enginehouse.errors import (
    EnginehouseError,
    InvalidRequestError,
    ModelNotFoundError,
    ServingError,
)
from enginehouse.manifest import EmbeddingFacts, EngineManifest
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.text import ChatTemplate, Tokenizer

_log = logging.getLogger(__name__)
_REFRESH_EVERY_S = 1.0
# While nothing is served, somebody waits for the first model.
_REFRESH_EMPTY_EVERY_S = 0.1
_READY = "READY"


@dataclass(frozen=True, slots=True)
class Served:
    """A version that serves; as it stands, one of an embedding model."""

    target: Target
    manifest: EngineManifest

    @property
    def fingerprint(self) -> str:
        """OpenAI's `system_fingerprint`: changes when the version does."""
        return f"{self.target.model}@{self.target.version}"


@dataclass(frozen=True, slots=True)
class Revision(Served):
    """A version of a text generator, with what is needed to speak to it."""

    tokenizer: Tokenizer
    template: ChatTemplate


class ModelDirectory:
    """Follows Triton's state, a look a second."""

    def __init__(self, client: AsyncTritonClient, cache: BundleCache) -> None:
        self._client = client
        self._cache = cache
        self._serving: dict[str, Served] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    def models(self) -> list[Served]:
        """What serves now, by name."""
        return [self._serving[name] for name in sorted(self._serving)]

    async def revision(self, model: str) -> Revision:
        """The revision that serves `model`, a text generator.

        Raises:
            ModelNotFoundError: naming the models that there are.
            InvalidRequestError: if it is an embedding model.
        """
        found = await self.served(model)
        if not isinstance(found, Revision):
            raise InvalidRequestError(
                f"{model!r} is an embedding model; use /v1/embeddings", field="model"
            )
        return found

    async def embedding(self, model: str) -> tuple[Served, EmbeddingFacts]:
        """The revision of an embedding model, and what its vectors are.

        Raises:
            ModelNotFoundError: naming the models that there are.
            InvalidRequestError: if it is a text generator.
        """
        found = await self.served(model)
        if found.manifest.embedding is None:
            raise InvalidRequestError(
                f"{model!r} is a text generator, not an embedding model; use "
                "/v1/chat/completions or /v1/completions",
                field="model",
            )
        return found, found.manifest.embedding

    async def served(self, model: str) -> Served:
        """The revision that serves `model`, of either kind.

        Raises:
            ModelNotFoundError: naming the models that there are.
        """
        if model not in self._serving:
            await self._look()
        if model not in self._serving:
            known = ", ".join(sorted(self._serving)) or "none is loaded yet"
            raise ModelNotFoundError(
                f"the model {model!r} does not exist; models here: {known}", field="model"
            )
        return self._serving[model]

    async def _follow(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_REFRESH_EVERY_S if self._serving else _REFRESH_EMPTY_EVERY_S)

    async def _look(self) -> None:
        """Bring the picture up to date; an unreachable Triton leaves it as it is."""
        try:
            serving = await self._pinned()
            for name, version in serving.items():
                known = self._serving.get(name)
                if known is None or known.target.version != version:
                    self._serving[name] = await asyncio.to_thread(self._open, name, version)
            for name in self._serving.keys() - serving.keys():
                del self._serving[name]
        except ServingError as error:
            _log.debug("Triton does not answer: %s", error)
        except EnginehouseError:
            _log.exception("a served version's bundle cannot be read")

    async def _pinned(self) -> dict[str, int]:
        index = await self._client.repository_index()
        ready = {name for name, _, state in index if state == _READY}
        names = {name for name in ready if "." not in name and part(name, TENSORRT_LLM) in ready}
        # An engine that is being repaired is down, not gone: its model stays on the list.
        known = {name for name in self._serving if any(n == name for n, _, _ in index)}
        result = {name: self._version(name) for name in known - names}
        for name in names:
            version = pinned_version(await self._client.model_config(name))
            if version is not None:
                result[name] = version
        return result | await self._embedding_versions(index)

    async def _embedding_versions(self, index: list[tuple[str, str, str]]) -> dict[str, int]:
        """Embedding models that are ready → the version that Triton gives to who names none.

        They have no parts; what else has none is told apart by its outputs.
        """
        with_parts = {name.partition(".")[0] for name, _, _ in index if "." in name}
        versions: dict[str, int] = {}
        for name, version, state in index:
            if state == _READY and "." not in name and name not in with_parts:
                versions[name] = max(int(version), versions.get(name, 0))
        return {
            name: version
            for name, version in versions.items()
            if is_embedding(await self._client.model_config(name))
        }

    def _version(self, name: str) -> int:
        return self._serving[name].target.version or 0

    def _open(self, name: str, version: int) -> Served:
        path = self._cache.path(name, version)
        bundle = Bundle.open(path) if path.exists() else self._cache.fetch(name, version)
        if bundle.manifest.embedding is not None:
            return Served(Target(name, version), bundle.manifest)
        tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        special = bundle.manifest.special_tokens
        template = ChatTemplate(
            bundle.chat_template,
            tokenizer,
            bos_token="" if special.bos_id is None else tokenizer.token_text(special.bos_id),
            eos_token=tokenizer.token_text(special.end_ids[0]),
        )
        return Revision(Target(name, version), bundle.manifest, tokenizer, template)
