"""The three entry points of the path, each with requests in its own form."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Protocol

from enginehouse.client import Target
from enginehouse.client.aio import AsyncTritonClient
from enginehouse.perf.load.http import HttpSender
from enginehouse.perf.profile import EntryPoint
from enginehouse.perf.prompts import LoadPrompt
from enginehouse.perf.workload import Trace

from enginehouse.generation import GenerationRequest
from enginehouse.settings import Addresses

#: Returns the trace of a request and the tokens of its prompt, after the run. Raises ServingError
#: if the request failed.
Outcome = Callable[[], tuple[Trace, int | None]]


class Send(Protocol):
    """Sends one request and waits for its end."""

    async def __call__(self, prompt: LoadPrompt, /) -> tuple[float, Outcome]:
        """Send a prompt; return the time of sending (`time.perf_counter`) and the outcome.

        Raises:
            ServingError, OSError: if it fails immediately.
        """


@asynccontextmanager
async def open_entry_point(
    entry_point: EntryPoint, addresses: Addresses, target: Target, *, api_key: str | None = None
) -> AsyncIterator[Send]:
    """Connect to an entry point; return a function that sends prompts, until the block ends.

    Args:
        entry_point: the entry point.
        addresses: of the stack.
        target: model and version. The ensemble and the adapter choose the version themselves.
        api_key: key for the adapter, if it needs one.
    """
    if entry_point == "adapter":
        sender = HttpSender(f"{addresses.api_url}/v1/chat/completions", api_key, reuse=True)
        with closing(sender):
            yield _adapter(sender, target)
        return
    async with AsyncTritonClient(addresses.triton_grpc_url) as client:
        yield _ensemble(client, target) if entry_point == "ensemble" else _engine(client, target)


def chat_body(model: str, prompt: LoadPrompt) -> dict[str, object]:
    """The chat request of a prompt: greedy, streamed, with the end token ignored."""
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
    """Send to the ensemble. Its text has no token count, so the requested number is used."""

    async def send(prompt: LoadPrompt) -> tuple[float, Outcome]:
        began = time.perf_counter()
        chunks = client.generate_text(
            target.model, prompt.rendered, prompt.max_tokens, ignore_end=True
        )
        arrivals = [time.perf_counter() - began async for _ in chunks]
        return began, lambda: (Trace(arrivals, prompt.max_tokens), len(prompt.input_ids))

    return send
