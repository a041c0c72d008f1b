"""The load generator's HTTP client with a server that sends given bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from enginehouse.perf.load.http import HttpSender

from enginehouse.errors import ServingError

_BODY = {"stream": True}
_EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)
_STREAM = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    + f"{len(_EVENTS):x}\r\n".encode()
    + _EVENTS
    + b"\r\n0\r\n\r\n"
)
_REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 8\r\n\r\n{slower}"


@dataclass
class _Server:
    """Gives every request the same answer.

    Attributes:
        connections: that were opened.
        parts: of the answer, written one after the other.
    """

    parts: list[bytes]
    url: str = ""
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await _head(reader):
            self.requests.append(head)
            for part in self.parts:
                writer.write(part)
                await writer.drain()
            if b"Connection: close" in head:
                break
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.rpartition(b"Content-Length: ")[2])
    await reader.readexactly(length)
    return head


@asynccontextmanager
async def _serving(*parts: bytes) -> AsyncIterator[_Server]:
    found = _Server(list(parts))
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        yield found


@pytest.mark.parametrize(("reuse", "connections"), [(True, 1), (False, 3)])
def test_a_connection_is_kept_if_that_is_asked_for(*, reuse: bool, connections: int) -> None:
    async def scenario() -> int:
        async with _serving(_STREAM[:60], _STREAM[60:]) as server:
            sender = HttpSender(server.url, reuse=reuse)
            for _ in range(3):
                trace, prompt_tokens = (await sender.send(sender.encode(_BODY))).read()
                assert (len(trace.arrivals_s), trace.tokens, prompt_tokens) == (1, 3, 7)
            sender.close()
            return server.connections

    assert asyncio.run(scenario()) == connections


def test_requests_side_by_side_have_connections_of_their_own() -> None:
    async def scenario() -> int:
        async with _serving(_STREAM) as server:
            sender = HttpSender(server.url, reuse=True)
            for _ in range(2):
                request = sender.encode(_BODY)
                await asyncio.gather(*(sender.send(request) for _ in range(4)))
            sender.close()
            return server.connections

    assert asyncio.run(scenario()) == 4


def test_a_refusal_ends_without_a_stream_and_is_told() -> None:
    async def scenario() -> None:
        async with _serving(_REFUSAL[:30], _REFUSAL[30:]) as server:
            sender = HttpSender(server.url, reuse=True)
            for _ in range(2):
                answer = await sender.send(sender.encode(_BODY))
                with pytest.raises(ServingError, match="429"):
                    answer.read()
            sender.close()

    asyncio.run(scenario())


def test_after_a_close_it_connects_anew() -> None:
    async def scenario() -> int:
        async with _serving(_STREAM) as server:
            sender = HttpSender(server.url, reuse=True)
            await sender.send(sender.encode(_BODY))
            sender.close()
            (await sender.send(sender.encode(_BODY))).read()
            sender.close()
            return server.connections

    assert asyncio.run(scenario()) == 2
