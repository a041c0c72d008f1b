"""Server-sent events of a response: each is named by its type, and no `[DONE]` follows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson
from enginehouse.api.begun import Begun
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.responses.events import ResponseWriter

from enginehouse.errors import EnginehouseError, StoreError

#: Stores a response.
Keep = Callable[[dict[str, Any]], Awaitable[None]]


def sse(event: Mapping[str, Any]) -> bytes:
    """Encode one named server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


def _joined(events: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(map(sse, events))


class ResponseEvents:
    """A streamed response; see `EventWriter`.

    The response is stored before its last event, so that a client that has read it can continue
    the response. A client that disconnects before the end leaves nothing behind.
    """

    def __init__(self, begun: Begun, writer: ResponseWriter, keep: Keep | None) -> None:
        """Nothing has been written yet."""
        self._begun = begun
        self._shape = begun.shape()
        self._writer = writer
        self._keep = keep

    def opening(self) -> bytes:
        """The response before anything is said in it."""
        return _joined(self._writer.begin())

    def events(self, piece: TextChunk) -> bytes:
        """What a chunk adds to the response's items."""
        return b"".join(_joined(self._writer.choice(choice)) for choice in self._shape.delta(piece))

    def last(self) -> bytes | None:
        """Not known: the response is stored first."""
        return None

    async def ending(self, error: EnginehouseError | None) -> bytes:
        """The ends of the items, and the whole response."""
        writer = self._writer
        if error is None:
            ends = writer.finish(self._begun.answered.usage.as_json(), time.time())
        else:
            ends = writer.fail(error)
        text = _joined(ends)
        if self._keep is not None:
            try:
                await self._keep(writer.response)
            except StoreError as failure:
                # It was asked to be kept, and it is not.
                writer.fail(failure)
        return text + sse(writer.last())
