"""A load generator for streamed chat answers that costs next to nothing while it measures.

On few cores the generator competes with what it measures, so it only notes when bytes arrive
and reads them afterwards. It is closed-loop: all requests start together.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_END = b"0\r\n\r\n"
_CONTENT = b'"delta":{"content"'


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


async def _burst(
    url: str, bodies: list[dict[str, Any]], api_key: str | None
) -> tuple[float, list[Trace]]:
    address = urlsplit(url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    loop = asyncio.get_running_loop()
    streams = [_Stream(_request(address.path, address.netloc, body, api_key)) for body in bodies]
    began = time.perf_counter()
    await asyncio.gather(
        *(loop.create_connection(partial(_same, stream), host, port) for stream in streams)
    )
    await asyncio.gather(*(stream.done for stream in streams))
    return time.perf_counter() - began, [_trace(stream) for stream in streams]


def _same(stream: _Stream) -> _Stream:
    return stream


def burst(
    url: str, bodies: list[dict[str, Any]], *, api_key: str | None = None
) -> tuple[float, list[Trace]]:
    """Send all bodies at once to a streaming chat endpoint; seconds, and a trace each.

    Bodies must ask for `stream` and `include_usage`.

    Raises:
        ServingError: if a request is refused or its stream is cut.
    """
    return asyncio.run(_burst(url, bodies, api_key))


def _request(path: str, host: str, body: dict[str, Any], api_key: str | None) -> bytes:
    payload = json.dumps(body).encode()
    key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{key}Content-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + payload


def _trace(stream: _Stream) -> Trace:
    whole = b"".join(data for _, data in stream.arrived)
    if not whole.startswith(b"HTTP/1.1 200"):
        raise ServingError(f"the endpoint answered {whole[:400]!r}")
    if b"data: [DONE]" not in whole:
        raise ServingError(f"a stream was cut: it ends in {whole[-300:]!r}")
    arrivals = [
        moment - stream.sent_at for moment, data in stream.arrived for _ in range(_events(data))
    ]
    usage = whole.rpartition(b'"completion_tokens":')[2]
    return Trace(arrivals, int(usage.partition(b",")[0]))


def _events(data: bytes) -> int:
    return data.count(_CONTENT)
