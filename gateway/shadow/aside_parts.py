"""Opens the parts that observe requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import numpy as np
from enginehouse.api.exposure import ExposureLog
from enginehouse.api.revision import Served
from enginehouse.client import Embeddings, Target
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.journal.line_buffer import LineBuffer
from enginehouse.gateway.samples.ring import SampleRing
from enginehouse.gateway.shadow.aside import Aside, ServingDirectory
from enginehouse.gateway.shadow.shadow import Cosine, Shadow
from enginehouse.gateway.shadow.shadow_metrics import ShadowMetrics
from enginehouse.registry.quality.traces import TraceWriter
from prometheus_client import CollectorRegistry, Counter

from enginehouse.errors import ServingError
from enginehouse.settings import Settings

# Embedding models have a short context, so longer texts are compared by their beginnings.
_CHARACTERS = 800


class ChampionDirectory(ServingDirectory, Protocol):
    """The part of `ModelDirectory` that is used here."""

    def models(self) -> list[Served]:
        """The champion of each model."""
        ...


class TextEmbedder(Protocol):
    """The part of the fleet's client that is used here."""

    async def embed(self, target: Target, texts: Sequence[str]) -> Embeddings:
        """Embeddings of texts."""
        ...


@asynccontextmanager
async def open_aside(
    settings: Settings,
    directory: ChampionDirectory,
    client: TextEmbedder,
    registry: CollectorRegistry,
    samples: SampleRing,
    journal: Journal,
    *,
    pairs: int,
) -> AsyncIterator[Aside]:
    """Open the observers until the block ends; queued lines are written then."""
    dropped = Counter(
        "asides_dropped",
        "Lines of the journal and traces that came faster than they could be written",
        ["what"],
        namespace="enginehouse",
        registry=registry,
    )
    lines = LineBuffer(journal, on_drop=dropped.labels("line").inc)
    traces = TraceWriter(settings, on_drop=dropped.labels("trace").inc)
    shadow = Shadow(
        ShadowMetrics(registry),
        samples.add,
        lines,
        pairs=pairs,
        cosine=cosine_by(directory, client),
    )
    aside = Aside(directory, shadow, ExposureLog(lines), traces)
    traces.start()
    try:
        yield aside
    finally:
        await shadow.close()
        await lines.close()
        # Closing writes the remaining traces, which may take seconds.
        await asyncio.to_thread(traces.close)


def cosine_by(directory: ChampionDirectory, client: TextEmbedder) -> Cosine:
    """Cosine similarity of two texts by the first embedding model that serves, if there is one."""

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
