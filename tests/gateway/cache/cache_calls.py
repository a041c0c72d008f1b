"""Routed calls, and a stub of the stages behind the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from enginehouse.api.answering import take
from enginehouse.api.call import Ask, Routed
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Route
from enginehouse.client import Target
from enginehouse.gateway.cache.config import CacheConfig
from enginehouse.gateway.cache.metrics import CacheMetrics
from enginehouse.gateway.cache.stage import ResponseCache
from enginehouse.gateway.cache.store import CacheStore, MemoryCacheStore
from prometheus_client import CollectorRegistry

from enginehouse.generation import FinishReason
from enginehouse.manifest import EngineManifest
from enginehouse.text.answer_text import TokenScore
from tests.fake_bundle import fake_bundle
from tests.gateway.through import text_call, through

PIECES = (
    TextChunk("Par", (1, 2), (-0.25, -0.5)),
    TextChunk(
        "is.", (3,), (-0.125,), FinishReason.STOP, scores=(TokenScore("is.", (105,), -0.125, 3),)
    ),
)


def manifest_in(path: Path) -> EngineManifest:
    return fake_bundle(path / "bundle").manifest


def route_to(manifest: EngineManifest, version: int = 1, **more: Any) -> Route:
    nobody = cast("Any", None)
    return Route(Revision(Target("m", version), manifest, nobody, nobody), **more)


def question(
    route: Route,
    text: str = "Capital of France?",
    *,
    deterministic: bool = True,
    identity: dict[str, Any] | None = None,
    **more: Any,
) -> Routed:
    ask = Ask(
        endpoint="chat.completions",
        prefix="chatcmpl",
        stream=True,
        identity=identity or {"temperature": 0, "logit_bias": {7: 1.5}},
        deterministic=deterministic,
    )
    call = text_call(ask, "m", messages=[{"role": "user", "content": text}], **more)
    take(call, route)
    return Routed(call, route)


def of_tenant(name: str) -> Caller:
    return Caller(tenant=name, key_id=f"key-of-{name}")


@dataclass
class Behind:
    """Answers every call the same, unless it is told to fail; waits where it is told to."""

    pieces: Sequence[TextChunk] = PIECES
    error: Exception | None = None
    gate: asyncio.Event | None = None
    fingerprint: str = "m@1-0123456789ab"
    asked: list[Routed] = field(default_factory=list)
    closed: int = 0

    async def __call__(self, routed: Routed) -> AsyncGenerator[TextChunk, None]:
        self.asked.append(routed)
        answered = routed.call.answered
        assert answered is not None
        answered.served_by = replace(answered.served_by, fingerprint=self.fingerprint)
        try:
            if self.gate is not None:
                await self.gate.wait()
            for piece in self.pieces:
                yield replace(piece)
            if self.error is not None:
                raise self.error
            answered.used = Usage(5, 3)
        finally:
            self.closed += 1


@dataclass
class Cached:
    """A stage with a store, and its metrics."""

    stage: ResponseCache
    store: CacheStore
    registry: CollectorRegistry

    def lookups(self, result: str) -> float:
        labels = {"model": "m", "result": result}
        return self.registry.get_sample_value("enginehouse_cache_lookups_total", labels) or 0.0

    async def ask(self, routed: Routed, behind: Behind) -> list[TextChunk]:
        async with aclosing(through(self.stage, routed, behind)) as pieces:
            return [piece async for piece in pieces]


def cached(*versions: int, store: CacheStore | None = None, **config: Any) -> Cached:
    """A cache whose model `m` is routed to these versions."""
    registry = CollectorRegistry()
    metrics = CacheMetrics(registry)
    settings = CacheConfig(enabled=True, **config)
    kept = store or MemoryCacheStore(
        metrics,
        ttl_s=settings.ttl_s,
        most_entries=settings.most_entries,
        most_bytes=settings.most_bytes,
    )
    routed = frozenset(versions or (1,))
    return Cached(ResponseCache(settings, kept, metrics, lambda _: routed), kept, registry)
