"""Calls and engines for the ledger's tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from enginehouse.api.call import Ask, Call, ServedBy
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.config import LedgerConfig
from enginehouse.gateway.ledger.ledger import Ledger, open_ledger
from enginehouse.gateway.ledger.stage import UsageLedger
from enginehouse.gateway.ledger.tables import usage, usage_day
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from enginehouse.generation import FinishReason
from tests.gateway.through import Answer, answered_with, text_call, through

PRICES = [{"model": "smollm2", "prompt_per_million": "2", "completion_per_million": "10"}]
OURS = ServedBy("smollm2", 7, "smollm2@7")


def new_call(
    call_id: str = "", tenant: str = "acme", key_id: str | None = "k1", **rest: Any
) -> Call:
    ask = Ask("chat.completions", "chatcmpl", stream=True)
    return text_call(ask, "smollm2", caller=Caller(tenant, key_id), id=call_id, **rest)


def engine(texts: list[str], prompt: int = 100, *, error: Exception | None = None) -> Answer[Call]:
    """Gives pieces, a token each, and counts as the real one does: at its end."""

    async def run(call: Call) -> AsyncGenerator[TextChunk, None]:
        answered_with(call, OURS)
        given = 0
        try:
            for place, text in enumerate(texts):
                given += 1
                is_last = place == len(texts) - 1 and error is None
                yield TextChunk(text, finish=FinishReason.STOP if is_last else None)
            if error is not None:
                raise error
        finally:
            answered_with(call, OURS, Usage(prompt, given))

    return run


@asynccontextmanager
async def opened(
    url: str, directory: Path, **config: Any
) -> AsyncIterator[tuple[Ledger, CollectorRegistry]]:
    registry = CollectorRegistry()
    database = Database(url)
    whole = LedgerConfig.model_validate({"enabled": True, "prices": PRICES, **config})
    try:
        async with open_ledger(database, whole, directory, registry) as ledger:
            yield ledger, registry
    finally:
        database.close()


async def drain(ledger: Ledger, call: Call, behind: Answer[Call]) -> list[str]:
    async with aclosing(through(UsageLedger(ledger), call, behind)) as pieces:
        return [piece.text async for piece in pieces]


def rows(url: str) -> list[Mapping[str, Any]]:
    """The ledger's rows by id."""
    database = Database(url)
    with database.begin() as connection:
        found = connection.execute(select(usage).order_by(usage.c.id)).mappings().all()
    database.close()
    return [dict(row) for row in found]


def day_sums(url: str) -> dict[str, int]:
    """Requests, tokens and cost of all days together."""
    database = Database(url)
    with database.begin() as connection:
        found = connection.execute(select(usage_day)).mappings().all()
    database.close()
    names = ("requests", "prompt_tokens", "completion_tokens", "cost_micros")
    return {name: sum(row[name] for row in found) for name in names}


def row_sums(url: str) -> dict[str, int]:
    """The same of the single rows."""
    found = rows(url)
    names = ("prompt_tokens", "completion_tokens", "cost_micros")
    return {"requests": len(found)} | {name: sum(row[name] for row in found) for name in names}
