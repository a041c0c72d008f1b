"""Runs one shadow copy and makes its sample."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from enginehouse.gateway.outcomes import outcome_of

from enginehouse.errors import EnginehouseError
from enginehouse.http_errors import status_of
from enginehouse.text.refusal import HEAD_CHARACTERS, is_refusal
from enginehouse.traffic import RequestSample

OK = str(HTTPStatus.OK.value)
#: Timeout of a copy, in seconds.
DEADLINE_S = 60.0


class CopyChunk(Protocol):
    """A chunk of an answer; see `enginehouse.api.generation.TextChunk`."""

    @property
    def text(self) -> str:
        """Final text."""
        ...

    @property
    def finish(self) -> str | None:
        """Why the answer ended, in its last chunk."""
        ...


class CopyUsage(Protocol):
    """Tokens of an answer."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        ...

    @property
    def completion_tokens(self) -> int:
        """Tokens of the answer so far."""
        ...


class CopyTimes(Protocol):
    """When an answer's tokens came."""

    @property
    def first_s(self) -> float | None:
        """Time to the first token, in seconds."""
        ...

    @property
    def inter_token_s(self) -> float | None:
        """Mean time between two tokens, in seconds."""
        ...


class RunningCopy(Protocol):
    """One answer under way; see `enginehouse.api.generation.Generation`."""

    @property
    def usage(self) -> CopyUsage:
        """Its tokens."""
        ...

    @property
    def times(self) -> CopyTimes:
        """Its times."""
        ...

    def pieces(self) -> AsyncGenerator[CopyChunk, None]:
        """Text as it comes."""
        ...


#: Request id → the answer under way.
Start = Callable[[str], Awaitable[RunningCopy]]


@dataclass(slots=True)
class CopyResult:
    """What a copy came to."""

    request_id: str
    text: str = ""
    finish: str | None = None
    code: str = OK
    late: bool = False
    total_s: float = 0.0
    running: RunningCopy | None = None

    def sample(self, original: RequestSample, version: int) -> RequestSample:
        """The copy's sample, in the original's rollout."""
        running, answered = self.running, self.code == OK
        return RequestSample(
            at=time.time(),
            request_id=self.request_id,
            model=original.model,
            version=version,
            rollout=original.rollout,
            generation=original.generation,
            shadow=True,
            endpoint=original.endpoint,
            outcome=outcome_of(self.code),
            code=self.code,
            ttft_s=None if running is None else running.times.first_s,
            inter_token_s=None if running is None else running.times.inter_token_s,
            total_s=self.total_s,
            prompt_tokens=0 if running is None else running.usage.prompt_tokens,
            completion_tokens=0 if running is None else running.usage.completion_tokens,
            finish=self.finish,
            empty=answered and not self.text.strip(),
            refusal=answered and is_refusal(self.text[:HEAD_CHARACTERS]),
            tenant=original.tenant,
        )


async def ask_again(start: Start) -> CopyResult:
    """Ask, and wait for the end, whatever it is.

    Raises:
        Exception: an unexpected error; errors of our own are part of the result.
    """
    copied = CopyResult(f"shadow-{uuid.uuid4().hex}")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(DEADLINE_S):
            copied.running = await start(copied.request_id)
            async with aclosing(copied.running.pieces()) as pieces:
                async for piece in pieces:
                    copied.text += piece.text
                    copied.finish = piece.finish or copied.finish
    except TimeoutError:
        copied.code, copied.late = str(HTTPStatus.GATEWAY_TIMEOUT.value), True
    except EnginehouseError as error:
        copied.code = str(status_of(error)[0].value)
    copied.total_s = time.perf_counter() - began
    return copied
