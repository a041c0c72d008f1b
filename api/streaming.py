"""Answers that end when the client disconnects.

A client's disconnect cancels the task that reads from the engine, which closes its gRPC call,
which frees the request's slot.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import orjson
from enginehouse.api.begun import Begun
from enginehouse.api.generation import TextChunk
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from enginehouse.errors import EnginehouseError, RequestCancelledError
from enginehouse.http_errors import error_body

_T = TypeVar("_T")


def event(payload: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


class EventWriter(Protocol):
    """Writes an answer as server-sent events. What it gives may hold several events, or none."""

    def opening(self) -> bytes:
        """Before the first chunk."""
        ...

    def events(self, piece: TextChunk) -> bytes:
        """For a chunk."""
        ...

    def last(self) -> bytes | None:
        """The stream's last bytes, once the last chunk is known to be out; they are sent at once.

        None leaves the end to `ending`, behind all stages.
        """
        ...

    async def ending(self, error: EnginehouseError | None) -> bytes:
        """The stream's last bytes, behind the last chunk or instead of it."""
        ...


class ErrorEvents:
    """The usual ends of a stream: an error is an event, and then no `[DONE]` is sent."""

    done = b"data: [DONE]\n\n"

    async def ending(self, error: EnginehouseError | None) -> bytes:
        """See `EventWriter`."""
        return self.done if error is None else event(error_body(error))


class EventStream(Response):
    """Server-sent events of an answer that has begun."""

    media_type = "text/event-stream"

    def __init__(self, begun: Begun, writer: EventWriter) -> None:
        super().__init__(
            headers={
                **begun.call.response_headers,
                "Cache-Control": "no-cache",
                "X-Accel-Buffering": "no",
            }
        )
        del self.headers["content-length"]
        self._begun = begun
        self._writer = writer
        self._sent = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end or the client disconnects."""
        with contextlib.suppress(RequestCancelledError):
            await until_disconnect(receive, self._send(send), lambda: self._sent)

    async def _send(self, send: Send) -> None:
        writer, failure = self._writer, None
        try:
            async with self._begun as pieces:
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                opening = writer.opening()
                if opening:
                    await send({"type": "http.response.body", "body": opening, "more_body": True})
                async for piece in pieces:
                    text = writer.events(piece)
                    if text:
                        await send({"type": "http.response.body", "body": text, "more_body": True})
                    last = writer.last()
                    if last is not None:
                        # A chunk of its own: perf_analyzer leaves out the one that has it.
                        await self._end(send, last)
        except EnginehouseError as error:
            if self._sent:
                raise
            failure = error
        if not self._sent:
            await self._end(send, await writer.ending(failure))

    async def _end(self, send: Send, last: bytes) -> None:
        # The server reports a disconnect as soon as it has all.
        self._sent = True
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_disconnect(
    receive: Receive, work: Coroutine[Any, Any, _T], answered: Callable[[], bool] = lambda: False
) -> _T:
    """Run `work`, cancelled if the client disconnects before it is done.

    Args:
        answered: whether the client has got all, so that it may disconnect.

    Raises:
        RequestCancelledError: if the client has disconnected; nobody will read the response.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if task.done() or answered():
            return await task
        raise RequestCancelledError("the client has gone")
    finally:
        leaving.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
