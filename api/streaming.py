"""Answers that end when the client goes: server-sent events, and whole answers.

A client's disconnect cancels the task that reads from the engine, which closes its gRPC call,
which frees the request's slot.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from enginehouse.errors import EnginehouseError, RequestCancelledError
from enginehouse.http_errors import error_body

_T = TypeVar("_T")


def event(payload: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


class LastEvents(bytes):
    """The events before a stream's `done`: what their generator does after them, nobody awaits."""


class EventStream(Response):
    """Server-sent events; an error after the start is an event, and then `[DONE]` is not sent."""

    media_type = "text/event-stream"
    #: The last bytes of a stream that ended well.
    done: ClassVar[bytes] = b"data: [DONE]\n\n"

    def __init__(self, events: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> None:
        super().__init__(
            headers={**headers, "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._events = events
        self._sent = False

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end or the client goes."""
        async with contextlib.aclosing(self._events):
            with contextlib.suppress(RequestCancelledError):
                await until_disconnect(receive, self._send(send), lambda: self._sent)

    async def _send(self, send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
        )
        try:
            async for chunk in self._events:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if isinstance(chunk, LastEvents):
                    # A chunk of its own: perf_analyzer leaves out the one that has it.
                    await self._end(send, self.done)
            last = self.done
        except EnginehouseError as error:
            if self._sent:
                raise
            last = event(error_body(error))
        if not self._sent:
            await self._end(send, last)

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
    """Run `work`, cancelled if the client goes before it is done.

    Args:
        answered: whether the client has got all, so that it may go.

    Raises:
        RequestCancelledError: if the client has gone; nobody will read the response.
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


async def primed(source: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """The same items, the first of them fetched already.

    An error before the first item then has its own status, not an event in a 200 stream.
    """
    first = await anext(source)

    async def rest() -> AsyncGenerator[_T, None]:
        async with contextlib.aclosing(source):
            yield first
            async for item in source:
                yield item

    return rest()
