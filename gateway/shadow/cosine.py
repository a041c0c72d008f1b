"""How alike two answers are: the cosine of their embeddings, by a model that serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from enginehouse.api.revision import Served
from enginehouse.client import Embeddings, Target
from enginehouse.gateway.shadow.shadow import Cosine

from enginehouse.errors import ServingError

# Longer texts are compared by their beginnings: an embedding model has a short context.
_CHARACTERS = 800


class ServedModels(Protocol):
    """What is needed of `ModelDirectory`."""

    def models(self) -> list[Served]:
        """The champion of each model."""
        ...


class Embedder(Protocol):
    """What is needed of the fleet's client."""

    async def embed(self, target: Target, texts: Sequence[str]) -> Embeddings:
        """Vectors of texts."""
        ...


def cosine_by(directory: ServedModels, client: Embedder) -> Cosine:
    """Cosine of two texts by the first embedding model that serves, if there is one."""

    async def cosine(left: str, right: str) -> float | None:
        models = [m for m in directory.models() if m.manifest.embedding is not None]
        if not models or not left.strip() or not right.strip():
            return None
        texts = [left[:_CHARACTERS], right[:_CHARACTERS]]
        try:
            found = await client.embed(Target(models[0].target.model), texts)
        except ServingError:
            return None
        first, second = found.vectors.astype(np.float64)
        size = float(np.linalg.norm(first) * np.linalg.norm(second))
        return float(first @ second) / size if size else None

    return cosine
