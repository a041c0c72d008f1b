"""Closed and open loops to one entry point."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.perf.load.entry_points import Outcome, Send
from enginehouse.perf.measurement import Figures, RequestRecord, figures_of
from enginehouse.perf.prompts import LoadPrompt

from enginehouse.errors import ServingError


@dataclass(slots=True)
class _Sent:
    due_s: float
    sent_at: float
    outcome: Outcome | None = None
    error: str | None = None

    def record(self, began: float) -> RequestRecord:
        sent_s = self.sent_at - began
        if self.outcome is None:
            return RequestRecord(self.due_s, sent_s, None, error=self.error)
        try:
            trace, prompt_tokens = self.outcome()
        except ServingError as error:
            return RequestRecord(self.due_s, sent_s, None, error=str(error))
        if not trace.arrivals_s:
            return RequestRecord(self.due_s, sent_s, None, error="an answer without a token")
        return RequestRecord(self.due_s, sent_s, trace, prompt_tokens)


async def closed_loop(
    send: Send, prompts: Sequence[LoadPrompt], concurrency: int
) -> list[RequestRecord]:
    """Keep `concurrency` requests in flight until every prompt is sent; failures are recorded."""
    began = time.perf_counter()
    waiting = iter(prompts)
    sent: list[_Sent] = []

    async def stream() -> None:
        for prompt in waiting:
            one = await _one(send, prompt, time.perf_counter() - began, began)
            sent.append(one)

    await asyncio.gather(*(stream() for _ in range(concurrency)))
    return [one.record(began) for one in sent]


async def flawless(send: Send, prompts: Sequence[LoadPrompt], concurrency: int) -> Figures:
    """Figures of a closed loop in which every request must succeed.

    Raises:
        ServingError: if a request failed.
    """
    records = await closed_loop(send, prompts, concurrency)
    failed = next((record.error for record in records if record.error is not None), None)
    if failed is not None:
        raise ServingError(f"a request of the measurement failed: {failed}")
    return figures_of(records)


async def open_loop(
    send: Send, prompts: Sequence[LoadPrompt], due_s: Sequence[float]
) -> list[RequestRecord]:
    """Send each prompt when it is due, independent of the requests in flight."""
    began = time.perf_counter()

    async def one(prompt: LoadPrompt, due: float) -> _Sent:
        await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
        return await _one(send, prompt, due, began)

    sent = await asyncio.gather(*(one(p, due) for p, due in zip(prompts, due_s, strict=True)))
    return [each.record(began) for each in sent]


async def _one(send: Send, prompt: LoadPrompt, due_s: float, began: float) -> _Sent:
    try:
        sent_at, outcome = await send(prompt)
    except (ServingError, OSError) as error:
        return _Sent(due_s, began + due_s, error=f"{type(error).__name__}: {error}")
    return _Sent(due_s, sent_at, outcome)
