"""Receives streamed chat answers over HTTP/1.1 with very little CPU time.

On few cores the generator competes with the measured system. It therefore only records when bytes
arrive, and parses them after the run.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_END = b"0\r\n\r\n"
_STREAMED = b"HTTP/1.1 200"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CONTENT = b'"delta":{"content"'
_SHOWN = 400


class _Connection(asyncio.Protocol):
    """One connection for sequential requests; records bytes and arrival times."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.is_open = False
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - TCP
        self._transport = transport
        self.is_open = True

    def ask(self, request: bytes) -> tuple[float, asyncio.Future[None]]:
        """Send a request; return the time, and a future that is set at the end of its answer."""
        self.arrived = []
        self._done = asyncio.get_running_loop().create_future()
        sent_at = time.perf_counter()
        self._transport.write(request)
        return sent_at, self._done

    def data_received(self, data: bytes) -> None:
        self.arrived.append((time.perf_counter(), data))
        if data.endswith(_END) or self._is_refused():
            self._finish()

    def connection_lost(self, _exc: Exception | None, /) -> None:
        self.is_open = False
        self._finish()

    def close(self) -> None:
        self._transport.close()

    def _is_refused(self) -> bool:
        """Whether a complete answer has arrived that is not a stream."""
        if self.arrived[0][1].startswith(_STREAMED):
            return False
        head, _, body = b"".join(data for _, data in self.arrived).partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return length is not None and len(body) >= int(length[1])

    def _finish(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class RawAnswer:
    """The bytes of one answer and their arrival times, to be parsed after the run.

    Attributes:
        sent_at: value of `time.perf_counter` when the request was sent.
    """

    def __init__(self, sent_at: float, arrived: list[tuple[float, bytes]]) -> None:
        self.sent_at = sent_at
        self._arrived = arrived

    def trace(self) -> Trace:
        """The arrival times of its tokens.

        Raises:
            ServingError: if the request was refused or its stream was incomplete.
        """
        return self.read()[0]

    def read(self) -> tuple[Trace, int]:
        """Its trace and the number of prompt tokens; raises like `trace`."""
        whole = b"".join(data for _, data in self._arrived)
        if not whole.startswith(_STREAMED):
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
    """A field of the usage chunk, which is the last one."""
    found = whole.rpartition(f'"{of}_tokens":'.encode())[2]
    return int(found.partition(b",")[0].partition(b"}")[0])


class HttpSender:
    """Sends bodies to one streaming chat endpoint.

    Bodies must ask for `stream` and `include_usage`.
    """

    def __init__(self, url: str, api_key: str | None = None, *, reuse: bool = False) -> None:
        """Create a sender; it connects with the first request.

        Args:
            url: address of the chat endpoint.
            api_key: key to send, if the endpoint needs one.
            reuse: keep connections for later requests, as SDKs do. Only for servers that always
                answer in chunked encoding. Otherwise each request opens a connection.
        """
        address = urlsplit(url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._reuse = reuse
        self._idle: list[_Connection] = []
        key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        self._head = (
            f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n{key}"
            "Content-Type: application/json\r\n"
        ) + ("" if reuse else "Connection: close\r\n")

    def encode(self, body: dict[str, Any]) -> bytes:
        """The bytes of a request, to be computed before the run."""
        payload = json.dumps(body).encode()
        return f"{self._head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload

    async def send(self, request: bytes) -> RawAnswer:
        """Send a request and wait for the end of its answer.

        Raises:
            OSError: if the connection fails.
        """
        connection = await self._connection()
        kept = False
        try:
            sent_at, done = connection.ask(request)
            await done
            kept = self._reuse and connection.is_open
        finally:
            if not kept:
                connection.close()
        if kept:
            self._idle.append(connection)
        return RawAnswer(sent_at, connection.arrived)

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(_Connection, self._host, self._port))[1]

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


async def _burst(sender: HttpSender, requests: list[bytes]) -> tuple[float, list[Trace]]:
    began = time.perf_counter()
    answers = await asyncio.gather(*(sender.send(request) for request in requests))
    return time.perf_counter() - began, [answer.trace() for answer in answers]


def burst(
    url: str, bodies: list[dict[str, Any]], *, api_key: str | None = None
) -> tuple[float, list[Trace]]:
    """Send all bodies at once to a streaming chat endpoint; return seconds and traces.

    Raises:
        ServingError: if a request is refused or its stream is incomplete.
        OSError: if a connection fails.
    """
    sender = HttpSender(url, api_key)
    return asyncio.run(_burst(sender, [sender.encode(body) for body in bodies]))
