"""A provider on the loopback that fails in many ways: raw HTTP, so that nothing mends it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Act = Callable[["Exchange"], Coroutine[Any, Any, None]]


@dataclass
class Exchange:
    """One request, and the way to answer it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    writer: asyncio.StreamWriter

    async def head(self, status: int = 200, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Said", "connection: close", "content-type: text/event-stream"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]))

    async def event(self, payload: object) -> None:
        await self.raw(f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n")

    async def raw(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()


def chunk(text: str = "", finish: str | None = None, index: int = 0) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def says(*texts: str, finish: str = "stop", usage: bool = True) -> Act:
    """A whole answer as it should be."""

    async def act(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        await exchange.raw(": a comment\n\n")
        for text in texts:
            await exchange.event(chunk(text))
        await exchange.event(chunk("", finish))
        if usage:
            figures = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
            await exchange.event({"choices": [], "usage": figures})
        await exchange.event("[DONE]")

    return act


def status(code: int, body: str = "{}", **headers: str) -> Act:
    """A refusal."""

    async def act(exchange: Exchange) -> None:
        await exchange.head(code, content_length=str(len(body)), **headers)
        await exchange.raw(body)

    return act


def cuts_after(*events: object) -> Act:
    """Begins, and closes the connection."""

    async def act(exchange: Exchange) -> None:
        await exchange.head()
        for item in events:
            await exchange.event(item)

    return act


async def closes_at_once(exchange: Exchange) -> None:
    """Gives no answer at all."""


def hangs_after(*events: object) -> Act:
    """Begins, and then says nothing until the other side has gone."""

    async def act(exchange: Exchange) -> None:
        await exchange.head()
        for item in events:
            await exchange.event(item)
        await asyncio.Event().wait()

    return act


async def never_answers(exchange: Exchange) -> None:
    """Takes the request and says nothing."""
    await asyncio.Event().wait()


@dataclass
class ProviderServer:
    """Acts as it is told, one act a request; the last one stays."""

    acts: deque[Act] = field(default_factory=deque)
    asked: list[Exchange] = field(default_factory=list)
    url: str = ""
    #: Set once a connection has been left by the other side.
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def will(self, *acts: Act) -> None:
        self.acts = deque(acts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            case = dict(line.split(": ", 1) for line in head[1:] if line)
            sent = {name.lower(): value for name, value in case.items()}
            exchange = Exchange(head[0].split()[1], sent, json.loads(body), writer)
            self.asked.append(exchange)
            act = self.acts.popleft() if len(self.acts) > 1 else self.acts[0]
            acting = asyncio.create_task(act(exchange))
            leaving = asyncio.create_task(reader.read())
            await asyncio.wait({acting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.left.set()
            for task in (acting, leaving):
                task.cancel()
            await asyncio.gather(acting, leaving, return_exceptions=True)
        finally:
            writer.close()


@asynccontextmanager
async def provider_server() -> AsyncIterator[ProviderServer]:
    server = ProviderServer()
    listening = await asyncio.start_server(server._serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
