"""A replica with an embedding model that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from enginehouse.client import Deadlines, Embeddings, Target

from enginehouse.manifest import EmbeddingFacts
from tests.client.fakes import FakeReplica

FACTS = EmbeddingFacts(dimensions=2, max_tokens=8, pooling="mean", normalise=True)


class EmbeddingReplica(FakeReplica):
    """Answers, fails, or is never done."""

    ending: Exception | None = None
    hangs = False
    cancelled = False

    async def embed(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        priority: int = 0,
    ) -> Embeddings:
        if self.ending is not None:
            raise self.ending
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True
        return await super().embed(target, texts, deadlines=deadlines, priority=priority)
