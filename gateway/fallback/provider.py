"""An external OpenAI-compatible provider."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import orjson
from enginehouse.api.call import Answered, Call, ServedBy
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.fallback.config import ProviderConfig
from enginehouse.gateway.fallback.translate import (
    PATHS,
    ProviderAnswerReader,
    answers_wanted,
    body_of,
    guessed_prompt_tokens,
)

from enginehouse.errors import (
    ContextOverflowError,
    DeadlineError,
    EngineUnavailableError,
    InvalidRequestError,
    QueueFullError,
    ServingError,
)
from enginehouse.requests.json_text import read_json
from enginehouse.retry import Retries, RetryPolicy
from enginehouse.server_sent_events import data_of_stream

_T = TypeVar("_T")
_DONE = b"[DONE]"
_AGAIN = {408, 429, 500, 502, 503, 504}
#: The caller's fault rather than the provider's.
_REFUSED = {400, 413, 422}
#: OpenAI's code; the only thing that is read of an error's body, at most so much of it.
_TOO_LONG, _MOST_ERROR_BYTES = b"context_length_exceeded", 65_536


@dataclass(slots=True)
class _Attempt:
    """One request.

    Attributes:
        until: `time.monotonic` at which the provider has taken too long.
        begun: whether a chunk is out.
        again: whether the same request may work a moment later, if it has failed.
        after_s: when the provider wants it again, in seconds.
    """

    call: Call
    answer: ProviderAnswerReader
    until: float
    begun: bool = False
    again: bool = False
    after_s: float = 0.0


class Provider:
    """Answers calls that `hindrance` has nothing against."""

    def __init__(
        self,
        name: str,
        config: ProviderConfig,
        http: httpx.AsyncClient,
        *,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        """`http` is bound to the provider's address; see `open_providers`."""
        self.name = name
        self._config = config
        self._http = http
        self._on_retry = on_retry

    async def pieces(self, call: Call, model: str | None) -> AsyncGenerator[TextChunk, None]:
        """The answer as it comes; `Call.answered` tells of it.

        Args:
            model: the provider's name; None is that of `call.model` in its configuration.

        Raises:
            QueueFullError: if it has too many requests already.
            ContextOverflowError, InvalidRequestError: if it refuses the request.
            DeadlineError: if its time, or the caller's patience, has come to its end.
            EngineUnavailableError: for whatever else may go wrong.
        """
        names = self._config.models
        asked = model or names.get(call.model) or names["*"]
        by = ServedBy(asked, None, None, f"provider:{self.name}")
        retry = self._config.retry
        retries = RetryPolicy(retry.attempts, retry.base_s, retry.most_s).retries()
        until = time.monotonic() + self._config.first_piece_timeout_s
        while True:
            answer = ProviderAnswerReader(Usage(guessed_prompt_tokens(call)), answers_wanted(call))
            call.answered = Answered(by)
            attempt = _Attempt(call, answer, until)
            try:
                async with aclosing(self._run(attempt, asked)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ServingError:
                pause_s = _pause_s(attempt, retries)
                if pause_s is None:
                    raise
            self._on_retry()
            await asyncio.sleep(pause_s)

    async def _run(self, attempt: _Attempt, model: str) -> AsyncGenerator[TextChunk, None]:
        """One request and its answer."""
        try:
            async with aclosing(self._read(attempt, model)) as pieces:
                async for piece in pieces:
                    attempt.begun = True
                    yield piece
        except httpx.HTTPError as error:
            if not attempt.answer.whole:
                attempt.again = True
                raise EngineUnavailableError(
                    f"provider {self.name} cannot be reached or broke off ({type(error).__name__})"
                ) from None
        except (DeadlineError, EngineUnavailableError):
            # What comes behind the last chunk is figures only.
            if not attempt.answer.whole:
                raise

    async def _read(self, attempt: _Attempt, model: str) -> AsyncGenerator[TextChunk, None]:
        call, answer = attempt.call, attempt.answer
        request = self._http.build_request(
            "POST",
            PATHS[call.ask.endpoint],
            content=orjson.dumps(body_of(call, model)),
            headers={"content-type": "application/json", "x-request-id": call.request_id},
        )
        response = await self._within(attempt, self._http.send(request, stream=True))
        async with aclosing(response), aclosing(data_of_stream(response.aiter_bytes())) as events:
            await self._check(attempt, response)
            # A stream that breaks off before its first chunk may work the next time.
            attempt.again = True
            while (data := await self._within(attempt, anext(events, _DONE))).strip() != _DONE:
                pieces = answer.read(_chunk(data))
                if call.answered is not None:
                    call.answered.used = answer.usage
                for piece in pieces:
                    yield piece
                if pieces:
                    attempt.until = time.monotonic() + self._config.between_pieces_timeout_s
        if not answer.whole:
            raise EngineUnavailableError(f"provider {self.name} cut its answer off")

    async def _within(self, attempt: _Attempt, work: Awaitable[_T]) -> _T:
        """The result, unless the provider's time or the caller's ends before.

        Raises:
            DeadlineError: saying whose.
        """
        left_s, patience_s = attempt.until - time.monotonic(), _patience_s(attempt.call)
        limit_s = max(0.0, min(left_s, patience_s))
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            # Waiting was all that could be done.
            attempt.again = False
            if patience_s <= left_s:
                raise DeadlineError("the time that the caller gave ran out") from None
            raise DeadlineError(f"provider {self.name} took too long") from None

    async def _check(self, attempt: _Attempt, response: httpx.Response) -> None:
        """Do nothing if the provider answers."""
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        said = f"provider {self.name} answered HTTP {status}"
        if status in _REFUSED:
            if _TOO_LONG in await self._within(attempt, _head(response)):
                raise ContextOverflowError(
                    f"{said}: this model's maximum context length is less than prompt and answer "
                    "need together: shorten the prompt or lower max_tokens",
                    field="prompt" if attempt.call.texts else "messages",
                )
            raise InvalidRequestError(f"{said}: it refuses this request")
        attempt.again = status in _AGAIN
        attempt.after_s = _retry_after_s(response)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            raise QueueFullError(said)
        raise EngineUnavailableError(said)


def _pause_s(attempt: _Attempt, retries: Retries) -> float | None:
    """How long to wait for another attempt; None if there is none."""
    if attempt.begun or not attempt.again:
        return None
    left_s = min(attempt.until - time.monotonic(), _patience_s(attempt.call))
    return retries.pause_s(after_s=attempt.after_s, left_s=left_s)


def _patience_s(call: Call) -> float:
    left_s = call.remaining_s()
    return math.inf if left_s is None else left_s


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds; the header's other form, a date, is a wait too long for us anyway."""
    raw = response.headers.get("retry-after", "0")
    return float(raw) if raw.isdecimal() else math.inf


async def _head(response: httpx.Response) -> bytes:
    """The beginning of a body."""
    found = b""
    async for part in response.aiter_bytes():
        found += part
        if len(found) >= _MOST_ERROR_BYTES:
            break
    return found


def _json(data: bytes) -> Any:
    """Read quickly, or, where a provider cut a character into two chunks, with U+FFFD for it."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return read_json(data)


def _chunk(data: bytes) -> Mapping[str, Any]:
    try:
        chunk = _json(data)
    except InvalidRequestError:
        chunk = None
    if not isinstance(chunk, dict):
        raise EngineUnavailableError("the provider sent what is no answer")
    return chunk
