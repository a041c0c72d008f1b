"""The three doors of the path, each asked in the form that it takes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Protocol

from enginehouse.client import Target
from enginehouse.client.aio import AsyncTritonClient
from enginehouse.perf.load.http import HttpSender
from enginehouse.perf.profile import Door
from enginehouse.perf.prompts import LoadPrompt
from enginehouse.perf.workload import Trace

from enginehouse.generation import GenerationRequest
from enginehouse.settings import Addresses

#: What a request came to, read when the run is over: its trace and the tokens of its prompt.
#: It raises ServingError if the request failed.
Outcome = Callable[[], tuple[Trace, int | None]]


class Send(Protocol):
    """One request, from sending to its end; `time.perf_counter` at sending, and what came."""

    async def __call__(self, prompt: LoadPrompt, /) -> tuple[float, Outcome]:
        """Send it.

        Raises:
            ServingError, OSError: if it fails at once.
        """


@asynccontextmanager
async def open_door(
    door: Door, addresses: Addresses, target: Target, *, api_key: str | None = None
) -> AsyncIterator[Send]:
    """A way to send prompts through a door, as long as the block lasts.

    Args:
        target: the ensemble and the adapter take its model and choose the version themselves.
    """
    if door == "adapter":
        sender = HttpSender(f"{addresses.api_url}/v1/chat/completions", api_key, reuse=True)
        with closing(sender):
            yield _adapter(sender, target)
        return
    async with AsyncTritonClient(addresses.triton_grpc_url) as client:
        yield _ensemble(client, target) if door == "ensemble" else _engine(client, target)


def chat_body(model: str, prompt: LoadPrompt) -> dict[str, object]:
    """The chat request of a prompt: greedy, streamed, past the model's own end."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt.user}],
        "max_tokens": prompt.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _adapter(sender: HttpSender, target: Target) -> Send:
    async def send(prompt: LoadPrompt) -> tuple[float, Outcome]:
        answer = await sender.send(sender.encode(chat_body(target.model, prompt)))
        return answer.sent_at, answer.read

    return send


def _engine(client: AsyncTritonClient, target: Target) -> Send:
    async def send(prompt: LoadPrompt) -> tuple[float, Outcome]:
        request = GenerationRequest(prompt.input_ids, prompt.max_tokens)
        began = time.perf_counter()
        arrivals: list[float] = []
        tokens = 0
        async for chunk in client.generate(target, request):
            if chunk.token_ids:
                arrivals.append(time.perf_counter() - began)
                tokens += len(chunk.token_ids)
        return began, lambda: (Trace(arrivals, tokens), len(prompt.input_ids))

    return send


def _ensemble(client: AsyncTritonClient, target: Target) -> Send:
    """Text answers carry no count of tokens: they are as many as were asked for."""

    async def send(prompt: LoadPrompt) -> tuple[float, Outcome]:
        began = time.perf_counter()
        pieces = client.generate_text(
            target.model, prompt.rendered, prompt.max_tokens, ignore_end=True
        )
        arrivals = [time.perf_counter() - began async for _ in pieces]
        return began, lambda: (Trace(arrivals, prompt.max_tokens), len(prompt.input_ids))

    return send
