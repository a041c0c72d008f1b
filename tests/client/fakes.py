"""Replicas that are callables: an engine that counts upwards from the last id of its prompt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from enginehouse.client import Deadlines, Embeddings, Replica, Target
from enginehouse.model_repository.config import embedding_config, ensemble_config

from enginehouse.errors import EngineUnavailableError, ModelNotFoundError, ServingError
from enginehouse.generation import Chunk, FinishReason, GenerationRequest


@dataclass
class Fault:
    """One request fails so: after this many tokens; a chunk that was the last one is lost."""

    after: int
    error: ServingError


@dataclass
class FakeReplica:
    """One Triton.

    Attributes:
        loaded: Triton model → versions that are ready.
        pins: ensemble → version.
        hold: set it and requests wait after their first token.
    """

    loaded: dict[str, set[int]]
    pins: dict[str, int] = field(default_factory=dict)
    embeddings: frozenset[str] = frozenset()
    dead: bool = False
    faults: deque[Fault] = field(default_factory=deque)
    hold: asyncio.Event | None = None
    asked: list[tuple[Target, GenerationRequest]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    closed: bool = False
    identity: bytes = b""

    async def describe(self, target: Target) -> bytes:
        self._check(f"{target.model}.tensorrt_llm", target.version)
        return self.identity

    def _check(self, name: str, version: int | None) -> None:
        if self.dead:
            raise EngineUnavailableError("nobody answers")
        if not self.loaded.get(name) or version not in {None, *self.loaded[name]}:
            raise ModelNotFoundError(f"{name} version {version} is not found")

    async def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        self.asked.append((target, request))
        fault = self.faults.popleft() if self.faults else None
        self._check(f"{target.model}.tensorrt_llm", target.version)
        last = request.input_ids[-1]
        for count in range(request.max_tokens):
            if fault is not None and fault.after == count:
                raise fault.error
            last += 1
            ended = last in request.end_ids
            final = ended or count + 1 == request.max_tokens
            if final and fault is not None and fault.after > count:
                yield Chunk([last], [-1.0])
                raise fault.error
            finish = (FinishReason.STOP if ended else FinishReason.LENGTH) if final else None
            yield Chunk([last], [-1.0], finish)
            if final:
                return
            if self.hold is not None:
                await self.hold.wait()

    async def embed(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        priority: int = 0,
    ) -> Embeddings:
        self.asked.append((target, GenerationRequest([0], 1)))
        self._check(target.model, target.version)
        version = target.version or max(self.loaded[target.model])
        return Embeddings(np.ones((len(texts), 2), np.float32), [1] * len(texts), version)

    async def stop(self, target: Target, request_id: str) -> None:
        self.stopped.append(request_id)

    async def repository_index(self) -> list[tuple[str, str, str]]:
        if self.dead:
            raise EngineUnavailableError("nobody answers")
        return [(n, str(v), "READY") for n, versions in self.loaded.items() for v in versions]

    async def model_config(self, name: str) -> Any:
        self._check(name, None)
        if name in self.embeddings:
            return embedding_config(name, [1])
        return ensemble_config(name, name, self.pins[name])

    async def close(self) -> None:
        self.closed = True


def generator(*versions: int, model: str = "smollm2", pin: int | None = None) -> FakeReplica:
    """A replica with a text generator of these versions, the first of them pinned."""
    pinned = pin or versions[0]
    loaded = {model: {1}, f"{model}.tensorrt_llm": set(versions)}
    return FakeReplica(loaded, pins={model: pinned})


class FakeFleet:
    """Replicas by address; a discovery and the way to connect."""

    def __init__(self, replicas: Iterable[FakeReplica]) -> None:
        self.by_address = {f"host:{port}": each for port, each in enumerate(replicas, 1)}

    def replicas(self) -> tuple[Replica, ...]:
        return tuple(Replica(address, address) for address in self.by_address)

    def connect(self, address: str) -> FakeReplica:
        return self.by_address[address]
