"""Calls for tests, and stages that answer them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

from enginehouse.api.call import Ask, Call, Caller, Expected, Proceed, ServedBy, Stage
from enginehouse.api.generation import Piece, Usage
from enginehouse.gateway.limits.budgets import Budgets, Price
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.memory import MemoryLimitStore
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitPolicy
from enginehouse.gateway.limits.stages import LimitEnforcer
from prometheus_client import CollectorRegistry

from enginehouse.generation import FinishReason


class Ledger:
    """What was spent, as a test says; it counts how often it is read."""

    def __init__(self, **spent: float) -> None:
        zero = {"day_tokens": 0, "month_tokens": 0, "day_cost": 0.0, "month_cost": 0.0}
        self.amounts = SimpleNamespace(**{**zero, **spent})
        self.reads: list[tuple[str, str | None]] = []
        self.error: Exception | None = None

    async def spent(self, tenant: str, key_id: str | None) -> Any:
        self.reads.append((tenant, key_id))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.amounts


class Shared:
    """What stages share, with the parts that tests look at."""

    def __init__(
        self,
        config: LimitsConfig,
        *,
        ledger: Ledger | None = None,
        price: Price | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self.ledger = ledger or Ledger()
        metrics = LimitMetrics(self.registry, TenantLabels(config.tenants))
        store = MemoryLimitStore(clock) if clock else MemoryLimitStore()
        self.limits = LimitEnforcer(
            LimitPolicy(config),
            store,
            Budgets(self.ledger, metrics, refuse=config.on_store_failure == "refuse"),
            metrics,
            price,
            config.reserve_tokens,
        )

    def refused(self, tenant: str, kind: str) -> float:
        labels = {"tenant": tenant, "kind": kind}
        return self.registry.get_sample_value("enginehouse_limit_refusals_total", labels) or 0


async def _never(call: Call) -> AsyncGenerator[Piece, None]:
    raise AssertionError("the endpoint's own run is not asked here")
    yield Piece("")


async def _prepare(call: Call, route: Any) -> Any:
    raise AssertionError("it is prepared already")


def text_call(
    prompt: int = 10,
    completion: int = 20,
    *,
    bounded: bool = True,
    caller: Caller | None = None,
    width: int = 1,
    **fields: Any,
) -> Call:
    """A chat call as it stands behind `Attempts`."""
    ask = Ask(
        "chat.completions", "chatcmpl", stream=False, include_usage=False, run=_never,
        prepare=_prepare,
    )  # fmt: skip
    generation = SimpleNamespace(prompt=SimpleNamespace(ids=[0] * prompt))
    choices: Any = SimpleNamespace(generations=[generation] * width, usage=Usage(prompt))
    return Call(
        ask,
        "smollm2",
        caller=caller or Caller(),
        choices=choices,
        expected=Expected(prompt, completion, bounded),
        served_by=ServedBy("smollm2", 1, "f"),
        **fields,
    )


def vector_call(tokens: int = 10, caller: Caller | None = None) -> Call:
    """A call for embeddings."""
    ask = Ask("embeddings", "embd", stream=False, include_usage=False, run=_never)
    texts: list[Any] = ["x" * 4 * tokens]
    return Call(
        ask, "minilm", caller=caller or Caller(), expected=Expected(tokens), texts=texts,
        served_by=ServedBy("minilm", 1, None),
    )  # fmt: skip


def engine(tokens: int = 5) -> Proceed:
    """Answers with a number of tokens, one in each chunk."""

    async def run(call: Call) -> AsyncGenerator[Piece, None]:
        for _ in range(tokens):
            if call.choices is not None:
                call.choices.usage.completion_tokens += 1
            yield Piece("a", [1])
        yield Piece("", finish=FinishReason.STOP)

    return run


def failing(error: Exception) -> Proceed:
    """Fails before its first piece."""

    async def run(call: Call) -> AsyncGenerator[Piece, None]:
        raise error
        yield Piece("")

    return run


async def answered(stage: Stage, call: Call, proceed: Proceed | None = None) -> int:
    """Pieces of the answer."""
    count = 0
    async with aclosing(stage(call, proceed or engine())) as pieces:
        async for _ in pieces:
            count += 1
    return count
