"""Asynchronous client of a fleet: the calls of `AsyncTritonClient`, on any ready replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Self

from enginehouse.client.aio import AsyncTritonClient
from enginehouse.client.continuation import Progress
from enginehouse.client.course import Course
from enginehouse.client.discovery import Discovery
from enginehouse.client.embedding import Embeddings
from enginehouse.client.members import IndexEntry, Members, ReplicaClient, RequestedModel
from enginehouse.client.policy import Deadlines
from enginehouse.client.wire import Target, stream_cut

from enginehouse.errors import (
    DeadlineError,
    EngineUnavailableError,
    InvalidRequestError,
    ModelNotFoundError,
    QueueFullError,
    RequestCancelledError,
    ServingError,
)
from enginehouse.generation import Chunk, GenerationRequest
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.retry import RetryPolicy

_LOOK_EVERY_S = 1.0
#: Maximum number of interruptions of one answer.
_CONTINUATIONS = 3
#: Retries for an interrupted answer: about half a minute, enough for an engine to be repaired.
PATIENT = RetryPolicy(attempts=16, base_s=0.2, most_s=4.0)
_READY = "READY"
_ELSEWHERE = (EngineUnavailableError, ModelNotFoundError, QueueFullError, RequestCancelledError)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """State of one replica, for metrics and display."""

    name: str
    grpc: str
    up: bool
    outstanding: int


class AsyncFleetClient:
    """Sends each request of the tensor contract to the ready replica with the least load."""

    def __init__(
        self,
        discovery: Discovery,
        *,
        deadlines: Deadlines | None = None,
        retry: RetryPolicy | None = None,
        patient: RetryPolicy = PATIENT,
        look_every_s: float = _LOOK_EVERY_S,
        connect: Callable[[str], ReplicaClient] | None = None,
        control_secret: str | None = None,
    ) -> None:
        """Connects in `__aenter__`.

        Args:
            retry: rounds over the replicas for a request that has received nothing.
            patient: the same for an interrupted answer.
            connect: creates the client for a replica's ``host:port``; None is `AsyncTritonClient`.
            control_secret: authorizes the client to list a replica's models.
        """
        limits = deadlines or Deadlines()

        def connect_to(address: str) -> ReplicaClient:
            return AsyncTritonClient(
                address,
                deadlines=limits,
                retry=RetryPolicy(attempts=1),
                control_secret=control_secret,
            )

        self._members = Members(discovery, connect or connect_to, look_every_s)
        self._deadlines = limits
        self._retry = retry or RetryPolicy()
        self._patient = patient

    async def __aenter__(self) -> Self:
        await self._members.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._members.close()

    def replicas(self) -> list[ReplicaState]:
        """State of the replicas at the last look."""
        return [
            ReplicaState(m.replica.name, m.replica.grpc, m.up, m.outstanding) for m in self._members
        ]

    async def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Send token ids, receive chunks; the last has `finish`. Closing it cancels the request.

        A request that has received nothing is sent to another replica immediately, then again after
        pauses. One that has received tokens continues where it was interrupted, on any replica with
        the same version (see `enginehouse.client.continuation`), if `target` names a version and
        the request can be continued. Otherwise its error is raised.

        Raises:
            ServingError: one of its subclasses, see `enginehouse.errors`.
        """
        limits = deadlines or self._deadlines
        wanted = RequestedModel(part(target.model, TENSORRT_LLM), target.version_text)
        progress = Progress(request, fixed_version=target.version is not None)
        course = Course(self._members, wanted, self._retry)
        cuts: list[ServingError] = []
        while True:
            member = await course.member()
            engine = await member.engine(wanted, target)
            chunks = member.client.generate(
                target, progress.rest(), deadlines=progress.limits(limits)
            )
            try:
                with member.busy():
                    async with aclosing(chunks):
                        async for chunk in chunks:
                            progress.add(chunk)
                            course.received = True
                            yield replace(chunk, engine=engine) if engine else chunk
                            engine = ""
                            if chunk.finish is not None:
                                member.answered(wanted)
                                return
                raise stream_cut()
            except InvalidRequestError as error:
                # The caller did not send the continuation: raise the original interruption.
                raise (cuts[-1] if cuts else error) from None
            except (*_ELSEWHERE, DeadlineError) as error:
                if (ending := progress.ending()) is not None:
                    yield ending
                    return
                failure = _as_failure(error)
                course = self._next_course(course, progress, failure, cuts, limits)
                await course.failed(member, failure, progress.left_s(limits))

    def _next_course(
        self,
        course: Course,
        progress: Progress,
        error: ServingError,
        cuts: list[ServingError],
        limits: Deadlines,
    ) -> Course:
        """The course to continue with after a failure; a patient one if tokens had arrived.

        Raises:
            ServingError: `error`, if the request cannot be continued.
        """
        if not progress.started:
            if isinstance(error, DeadlineError):
                raise error
            return course
        if not progress.can_continue or progress.out_of_time(limits):
            raise error
        if not course.received:
            return course
        cuts.append(error)
        if len(cuts) > _CONTINUATIONS:
            raise error
        return Course(self._members, course.wanted, self._patient, patient=True)

    async def embed(
        self,
        target: Target,
        texts: Sequence[str],
        *,
        deadlines: Deadlines | None = None,
        priority: int = 0,
    ) -> Embeddings:
        """Embed texts, all with one version on one replica; see `AsyncTritonClient.embed`.

        Raises:
            ServingError: one of its subclasses; one rejected text fails the whole request.
        """
        course = Course(
            self._members, RequestedModel(target.model, target.version_text), self._retry
        )
        limits, began = deadlines or self._deadlines, time.monotonic()
        while True:
            member = await course.member()
            try:
                with member.busy():
                    found = await member.client.embed(
                        target, texts, deadlines=limits, priority=priority
                    )
                member.answered(course.wanted)
                return found
            except _ELSEWHERE as error:
                left_s = limits.left_s(time.monotonic() - began)
                await course.failed(member, _as_failure(error), left_s)

    async def stop(self, target: Target, request_id: str) -> None:
        """End a request with the contract's `stop` input, on whichever replica runs it.

        Raises:
            ServingError: one of its subclasses, if no replica accepted it.
        """
        wanted = RequestedModel(part(target.model, TENSORRT_LLM), target.version_text)
        asked = [m.client.stop(target, request_id) for m in self._members if m.has(wanted) and m.up]
        results = await asyncio.gather(*asked, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if not asked:
            raise ModelNotFoundError(f"{target.model!r} is ready on no replica", field="model")
        if len(errors) == len(asked):
            raise errors[0]

    async def look(self) -> None:
        """Refresh the state of all replicas now."""
        await self._members.look()

    def ready_versions(self, name: str) -> frozenset[int]:
        """Versions of a Triton model that were ready on any replica at the last look."""
        return frozenset(
            int(wanted.version)
            for member in self._members
            if member.up
            for wanted in member.ready
            if wanted.name == name and wanted.version
        )

    def repository_index(self) -> list[IndexEntry]:
        """Name, version and state of every model version, as of the last look.

        A version is READY if it is ready on at least one replica.

        Raises:
            EngineUnavailableError: if no replica answers.
        """
        merged: dict[tuple[str, str], str] = {}
        up = [member for member in self._members if member.up]
        if not up:
            raise EngineUnavailableError("no replica answers")
        for member in up:
            for name, version, state in member.index:
                if merged.get((name, version)) != _READY:
                    merged[name, version] = state
        return [(name, version, state) for (name, version), state in merged.items()]

    async def model_config(self, name: str) -> Any:
        """The `ModelConfig` message of a model, from the first replica that has it loaded.

        Raises:
            ServingError: if no replica has it, or none answers.
        """
        failure: ServingError = ModelNotFoundError(f"{name!r} is ready on no replica")
        for member in self._members:
            if member.up and member.has(RequestedModel(name)):
                try:
                    return await member.client.model_config(name)
                except ServingError as error:
                    failure = error
        raise failure


def _as_failure(error: ServingError) -> ServingError:
    """Treat a cancellation that we did not request as a Triton that is shutting down."""
    if isinstance(error, RequestCancelledError):
        return EngineUnavailableError("the replica ended the call")
    return error
