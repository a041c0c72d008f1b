"""Calls for tests, and stages that answer them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

from enginehouse.api.call import Answered, Ask, Call, Prepared, ServedBy, TextCall, VectorCall
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.stage import Stage
from enginehouse.gateway.accounting import Price
from enginehouse.gateway.limits.budgets import Budgets
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.labels import TenantLabels
from enginehouse.gateway.limits.memory import MemoryLimitStore
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitPolicy
from enginehouse.gateway.limits.stages import LimitEnforcer, TokenLimits
from enginehouse.gateway.limits.turns import Turns
from prometheus_client import CollectorRegistry

from enginehouse.generation import FinishReason
from tests.gateway.through import NotAsked, through
from tests.gateway.through import text_call as not_asked

Engine = Callable[[Call], AsyncGenerator[TextChunk, None]]


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


def text_call(
    prompt: int = 10,
    completion: int = 20,
    *,
    bounded: bool = True,
    caller: Caller | None = None,
    width: int = 1,
    **fields: Any,
) -> TextCall:
    """A chat call that is prepared."""
    most = completion if bounded else None
    generation = SimpleNamespace(
        prompt=SimpleNamespace(ids=[0] * prompt, max_tokens=most), most_tokens=completion // width
    )
    choices: Any = SimpleNamespace(generations=[generation] * width, usage=Usage(prompt))
    call = not_asked(
        Ask("chat.completions", "chatcmpl"), "smollm2", caller=caller or Caller(), **fields
    )
    call.answered = Answered(ServedBy("smollm2", 1, "f"), choices=choices)
    return call


def vector_call(tokens: int = 10, caller: Caller | None = None) -> VectorCall:
    """A call for embeddings."""
    texts: list[Any] = ["x" * 4 * tokens]
    call = VectorCall(
        Ask("embeddings", "embd"), "minilm", caller=caller or Caller(), texts=texts,
        form=NotAsked(), expected_tokens=tokens,
    )  # fmt: skip
    call.answered = Answered(ServedBy("minilm", 1, None))
    return call


def engine(tokens: int = 5) -> Engine:
    """Answers with so many tokens, one a piece."""

    async def run(call: Call) -> AsyncGenerator[TextChunk, None]:
        for _ in range(tokens):
            if call.answered is not None:
                call.answered.usage.completion_tokens += 1
            yield TextChunk("a", [1])
        yield TextChunk("", finish=FinishReason.STOP)

    return run


def failing(error: Exception) -> Engine:
    """Fails before its first piece."""

    async def run(call: Call) -> AsyncGenerator[TextChunk, None]:
        raise error
        yield TextChunk("")

    return run


def behind(
    stage: Stage[Any], call: Call, proceed: Engine | None = None
) -> AsyncGenerator[TextChunk, None]:
    """The pieces of an answer behind a stage, which sees the call in the state that it wants."""
    run, state = proceed or engine(), call
    if isinstance(stage, TokenLimits | Turns):
        assert isinstance(call, TextCall)
        assert call.answered is not None
        assert call.answered.choices is not None
        route: Any = None
        state = Prepared(call, route, call.answered.choices)  # type: ignore[assignment]
    return through(stage, state, lambda _: run(call))


async def answered(stage: Stage[Any], call: Call, proceed: Engine | None = None) -> int:
    """Pieces of the answer."""
    count = 0
    async with aclosing(behind(stage, call, proceed)) as pieces:
        async for _ in pieces:
            count += 1
    return count
