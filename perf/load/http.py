"""Streamed chat answers over HTTP/1.1, at next to no cost while they are measured.

On few cores the generator competes with what it measures, so it only notes when bytes arrive and
reads them afterwards.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlsplit

from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_END = b"0\r\n\r\n"
_CONTENT = b'"delta":{"content"'
_SHOWN = 400


class _Stream(asyncio.Protocol):
    """One request; keeps what arrived and when."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.arrived: list[tuple[float, bytes]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.sent_at = time.perf_counter()
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - TCP
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.arrived.append((time.perf_counter(), data))
        if data.endswith(_END):
            self._finish()

    def connection_lost(self, _exc: Exception | None, /) -> None:
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
            self._transport.close()


class Answer:
    """What came of one request: bytes and moments, read when the run is over.

    Attributes:
        sent_at: `time.perf_counter` when the request was written.
    """

    def __init__(self, stream: _Stream) -> None:
        self.sent_at = stream.sent_at
        self._arrived = stream.arrived

    def trace(self) -> Trace:
        """When its tokens came.

        Raises:
            ServingError: if the request was refused or its stream was cut.
        """
        return self.read()[0]

    def read(self) -> tuple[Trace, int]:
        """Its trace, and the tokens of its prompt; raises as `trace`."""
        whole = b"".join(data for _, data in self._arrived)
        if not whole.startswith(b"HTTP/1.1 200"):
            raise ServingError(f"the endpoint answered {whole[:_SHOWN]!r}")
        if b"data: [DONE]" not in whole:
            raise ServingError(f"a stream was cut: it ends in {whole[-_SHOWN:]!r}")
        arrivals = [
            moment - self.sent_at
            for moment, data in self._arrived
            for _ in range(data.count(_CONTENT))
        ]
        return Trace(arrivals, _usage(whole, "completion")), _usage(whole, "prompt")


def _usage(whole: bytes, of: str) -> int:
    """A field of the usage chunk, which stands at the end."""
    found = whole.rpartition(f'"{of}_tokens":'.encode())[2]
    return int(found.partition(b",")[0].partition(b"}")[0])


class HttpSender:
    """Sends bodies to one streaming chat endpoint, each on a connection of its own.

    Bodies must ask for `stream` and `include_usage`.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        self._head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n{key}"
            "Content-Type: application/json\r\nConnection: close\r\n"
        )

    def encode(self, body: dict[str, Any]) -> bytes:
        """A request's bytes, made before the run."""
        payload = json.dumps(body).encode()
        return f"{self._head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload

    async def send(self, request: bytes) -> Answer:
        """Send it and wait for its end.

        Raises:
            OSError: if there is no connection.
        """
        loop = asyncio.get_running_loop()
        stream = _Stream(request)
        await loop.create_connection(lambda: stream, self._host, self._port)
        await stream.done
        return Answer(stream)


async def _burst(sender: HttpSender, requests: list[bytes]) -> tuple[float, list[Trace]]:
    began = time.perf_counter()
    answers = await asyncio.gather(*(sender.send(request) for request in requests))
    return time.perf_counter() - began, [answer.trace() for answer in answers]


def burst(
    url: str, bodies: list[dict[str, Any]], *, api_key: str | None = None
) -> tuple[float, list[Trace]]:
    """Send all bodies at once to a streaming chat endpoint; seconds, and a trace each.

    Raises:
        ServingError: if a request is refused or its stream is cut.
        OSError: if there is no connection.
    """
    sender = HttpSender(url, api_key)
    return asyncio.run(_burst(sender, [sender.encode(body) for body in bodies]))
