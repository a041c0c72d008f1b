"""State of a fleet's replicas: which ones answer, which models are ready there, and their load."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from enginehouse.client.discovery import Discovery, Replica
from enginehouse.client.embedding import Embeddings
from enginehouse.client.policy import Deadlines
from enginehouse.client.wire import Target

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, GenerationRequest
from enginehouse.supervision import start_job, start_loop

_log = logging.getLogger(__name__)
_READY = "READY"
_DISCOVER_EVERY_S = 5.0
# While no model is ready, look more often: requests may be waiting for the first one.
_LOOK_EMPTY_EVERY_S = 0.1
_LOOK_TIMEOUT_S = 5.0
# Upper limit of a look at all replicas: a slow one must not delay the state of the others.
_LOOK_PATIENCE_S = 1.0
_SUSPECT_S = 1.0
_MOST_SUSPECT_S = 8.0
_DESCRIBE_PATIENCE_S = 1.0
_DIGEST_LENGTH = 12

#: Name, version and state of a Triton model.
IndexEntry = tuple[str, str, str]


class ReplicaClient(Protocol):
    """The interface of a client of one Triton that a fleet uses; see `AsyncTritonClient`."""

    def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Send token ids, receive chunks of token ids."""
        ...

    async def embed(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        priority: int = 0,
    ) -> Embeddings:
        """Embed texts."""
        ...

    async def stop(self, target: Target, request_id: str) -> None:
        """End a request."""
        ...

    async def describe(self, target: Target) -> bytes:
        """Facts that determine an engine's numerical results."""
        ...

    async def repository_index(self) -> list[IndexEntry]:
        """Every model version that this Triton knows."""
        ...

    async def model_config(self, name: str) -> Any:
        """The configuration of a loaded model."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


@dataclass(frozen=True, slots=True)
class RequestedModel:
    """A Triton model that a request needs; an empty version means any version."""

    name: str
    version: str = ""


@dataclass(slots=True)
class _Suspicion:
    """A recent failure, not visible as readiness: the model of a dead stub process stays READY."""

    until: float
    lasts_s: float


@dataclass(slots=True, eq=False)
class FleetMember:
    """One replica and its known state.

    Attributes:
        up: whether it answered the last look.
        index: its last model index; kept while it is down, to know what it had loaded.
        outstanding: number of its requests in flight.
    """

    replica: Replica
    client: ReplicaClient
    up: bool = False
    index: tuple[IndexEntry, ...] = ()
    ready: frozenset[RequestedModel] = frozenset()
    outstanding: int = 0
    _suspicions: dict[RequestedModel, _Suspicion] = field(default_factory=dict)
    _looking: asyncio.Task[None] | None = None
    _engines: dict[RequestedModel, asyncio.Task[str]] = field(default_factory=dict)

    async def engine(self, wanted: RequestedModel, target: Target) -> str:
        """Digest of the facts that determine an engine's numerical results; empty if unknown.

        Requested once for each version that became ready. The first requests wait briefly for it.
        """
        asked = self._engines.get(wanted)
        if asked is None:
            asked = self._engines[wanted] = start_job("fleet-describe", self._describe(target))
        if not asked.done():
            await asyncio.wait([asked], timeout=_DESCRIBE_PATIENCE_S)
        known = asked.done() and not asked.cancelled() and asked.exception() is None
        return asked.result() if known else ""

    async def _describe(self, target: Target) -> str:
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                text = await self.client.describe(target)
        except (ServingError, TimeoutError) as error:
            _log.info("replica %s does not say what it runs: %s", self.replica.name, error)
            return ""
        if not text:
            return ""
        digest = hashlib.sha256(text).hexdigest()[:_DIGEST_LENGTH]
        facts = text.decode(errors="replace")
        version = f"{target.model} version {target.version_text}"
        _log.info("%s on %s is engine %s: %s", version, self.replica.name, digest, facts)
        return digest

    def _forget_engines(self, kept: Collection[RequestedModel]) -> None:
        for gone in self._engines.keys() - set(kept):
            self._engines.pop(gone).cancel()

    def has(self, wanted: RequestedModel) -> bool:
        """Whether the model was ready at the last successful look."""
        return wanted in self.ready

    def suspect(self, wanted: RequestedModel) -> bool:
        """Whether it has failed for this model recently."""
        suspicion = self._suspicions.get(wanted)
        return suspicion is not None and time.monotonic() < suspicion.until

    def failed(self, wanted: RequestedModel) -> None:
        """Deprioritize this replica for a while, longer with each consecutive failure."""
        before = self._suspicions.get(wanted)
        lasts_s = _SUSPECT_S if before is None else min(_MOST_SUSPECT_S, 2 * before.lasts_s)
        self._suspicions[wanted] = _Suspicion(time.monotonic() + lasts_s, lasts_s)

    def answered(self, wanted: RequestedModel) -> None:
        """Clear a suspicion after a successful request."""
        if self._suspicions:
            self._suspicions.pop(wanted, None)
            # If it could not be described before, try again.
            asked = self._engines.get(wanted)
            if asked is not None and asked.done() and not asked.result():
                del self._engines[wanted]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request as outstanding while the context is open."""
        self.outstanding += 1
        try:
            yield
        finally:
            self.outstanding -= 1

    def look(self) -> asyncio.Task[None]:
        """Refresh the model index; concurrent callers share one request."""
        if self._looking is None or self._looking.done():
            self._looking = start_job("fleet-look", self._look())
        return self._looking

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT_S):
                index = tuple(await self.client.repository_index())
        except (ServingError, TimeoutError) as error:
            if self.up:
                _log.warning("replica %s does not answer: %s", self.replica.name, error)
            self.up = False
            self._forget_engines(())
            return
        if not self.up:
            _log.info("replica %s answers", self.replica.name)
        self.up = True
        if index != self.index:
            self.index = index
            exact = {
                RequestedModel(name, version) for name, version, state in index if state == _READY
            }
            self.ready = frozenset(exact | {RequestedModel(wanted.name) for wanted in exact})
            self._forget_engines(self.ready)

    async def close(self) -> None:
        """Cancel the look in progress and close the connection."""
        if self._looking is not None:
            self._looking.cancel()
        self._forget_engines(())
        await self.client.close()


class Members:
    """Follows discovery, and periodically refreshes the state of all replicas."""

    def __init__(
        self, discovery: Discovery, connect: Callable[[str], ReplicaClient], look_every_s: float
    ) -> None:
        """`connect` creates the client for an address."""
        self._discovery = discovery
        self._connect = connect
        self._look_every_s = look_every_s
        self._members: dict[Replica, FleetMember] = {}
        self._leaving: list[FleetMember] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = 0

    def __iter__(self) -> Iterator[FleetMember]:
        return iter(self._members.values())

    async def start(self) -> None:
        """Discover the replicas, look once, and start the background tasks."""
        await self.discover()
        await self.look()
        self._tasks = [
            start_loop("fleet-discovery", self._follow_discovery),
            start_loop("fleet-states", self._follow_states),
        ]

    async def close(self) -> None:
        """Stop the background tasks and close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in (*self, *self._leaving):
            await member.close()

    async def discover(self) -> None:
        """Add new replicas; removed ones get no new requests."""
        found = await asyncio.to_thread(self._discovery.replicas)
        gone = self._members.keys() - set(found)
        self._leaving += [self._members[replica] for replica in gone]
        self._members = {
            replica: self._members.get(replica) or FleetMember(replica, self._connect(replica.grpc))
            for replica in found
        }
        # Open streams of a removed replica run to their end: it may be draining.
        idle = [member for member in self._leaving if not member.outstanding]
        self._leaving = [member for member in self._leaving if member.outstanding]
        for member in idle:
            await member.close()

    async def look(self) -> None:
        """Refresh all replicas now; one that does not answer is marked down."""
        looks = [member.look() for member in self]
        if looks:
            await asyncio.wait(looks, timeout=_LOOK_PATIENCE_S)

    def pick(
        self, wanted: RequestedModel, tried: Collection[FleetMember] = ()
    ) -> FleetMember | None:
        """The ready replica with the fewest outstanding requests, or None.

        Replicas that failed recently come last; ties are resolved round-robin.
        """
        return min(
            (m for m in self._in_turn() if m.up and m.has(wanted) and m not in tried),
            key=lambda m: (m.suspect(wanted), m.outstanding),
            default=None,
        )

    def any(
        self, wanted: RequestedModel, tried: Collection[FleetMember] = ()
    ) -> FleetMember | None:
        """The best replica if none is ready: first those that had the model, to get its error."""
        rest = [member for member in self._in_turn() if member not in tried]
        return min(
            rest,
            key=lambda m: (not m.has(wanted), not m.up, m.suspect(wanted), m.outstanding),
            default=None,
        )

    def _in_turn(self) -> list[FleetMember]:
        members = list(self._members.values())
        if len(members) > 1:
            self._turn = (self._turn + 1) % len(members)
            members = members[self._turn :] + members[: self._turn]
        return members

    async def _follow_discovery(self) -> None:
        while True:
            await asyncio.sleep(_DISCOVER_EVERY_S if self._members else self._look_every_s)
            await self.discover()

    async def _follow_states(self) -> None:
        while True:
            ready = any(member.up and member.ready for member in self)
            every_s = self._look_every_s if ready else _LOOK_EMPTY_EVERY_S
            await asyncio.sleep(min(every_s, self._look_every_s))
            await self.look()
