"""Whether the served models really answer."""

from __future__ import annotations

import asyncio
import time

from enginehouse.api.directory import ModelDirectory
from enginehouse.api.revision import Served
from enginehouse.client import AsyncFleetClient, Deadlines, Target

from enginehouse.contract import EMBEDDING_PROBE_PRIORITY, PROBE_PRIORITY
from enginehouse.errors import ServingError
from enginehouse.generation import GenerationRequest

_PROBE = Deadlines(total_s=5.0, first_token_s=5.0, between_tokens_s=5.0)
_PROBE_TEXT = "probe"
_NOT_LOADED = "not loaded yet: its routes are there, its version is not"


class Readiness:
    """Probes with one real token, or one real vector; many callers at once share one probe."""

    def __init__(self, client: AsyncFleetClient, directory: ModelDirectory, keep_s: float) -> None:
        """`keep_s` is how long a verdict is kept."""
        self._client = client
        self._directory = directory
        self._keep_s = keep_s
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._verdicts: dict[str, str] = {}

    async def verdicts(self) -> dict[str, str]:
        """Model → ``ready``, or why not; a model that has routes and is not there is not ready."""
        async with self._lock:
            revisions = self._directory.models()
            fresh = time.monotonic() - self._checked_at <= self._keep_s
            if not fresh or {r.target.model for r in revisions} != self._verdicts.keys():
                results = await asyncio.gather(*(self._probe(r) for r in revisions))
                names = [r.target.model for r in revisions]
                self._verdicts = dict(zip(names, results, strict=True))
                self._checked_at = time.monotonic()
            missing = dict.fromkeys(self._directory.not_loaded(), _NOT_LOADED)
            return self._verdicts | missing

    async def _probe(self, revision: Served) -> str:
        try:
            if revision.manifest.embedding is None:
                await self._generate(revision)
            else:
                await self._client.embed(
                    Target(revision.target.model),
                    [_PROBE_TEXT],
                    deadlines=_PROBE,
                    priority=EMBEDDING_PROBE_PRIORITY,
                )
        except ServingError as error:
            return f"{error.code}: {error}"
        return "ready"

    async def _generate(self, revision: Served) -> None:
        token = revision.manifest.special_tokens.pad_id
        request = GenerationRequest(input_ids=[token], max_tokens=1, priority=PROBE_PRIORITY)
        async for _ in self._client.generate(revision.target, request, deadlines=_PROBE):
            pass
