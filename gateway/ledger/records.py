"""A record of the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import orjson
from enginehouse.api.call import Call, ServedBy
from enginehouse.gateway.ledger.prices import FREE, PriceTable

_MS = 1000


class UsageOutcome(StrEnum):
    """How an answer ended.

    Attributes:
        COMPLETED: all of it was sent.
        CANCELLED: the caller disconnected, or its deadline passed; generated tokens are billed.
        FAILED: it ended with an error of ours; it is free.
    """

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """Usage of one call.

    Attributes:
        id: id of the response. It is generated here, so that a caller cannot choose an existing
            one.
        request_id: `x-request-id`, which callers may repeat.
        at_ms: arrival, in milliseconds since 1970 UTC.
        version: None if an external provider answered.
        source: ``engine``, ``cache``, ``provider:NAME``, or ``unknown``.
        prompt_tokens: includes `cached_tokens`, which the engine had in its cache.
        prompt_micros: price of a million tokens in micro-units. All three prices are None if no
            price is known.
        cost_micros: cost in micro-units of `currency`.
    """

    id: str
    request_id: str
    at_ms: int
    tenant: str
    key_id: str | None
    model: str
    version: int | None
    source: str
    endpoint: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds: float
    prompt_micros: int | None
    cached_micros: int | None
    completion_micros: int | None
    currency: str
    cost_micros: int
    outcome: str

    def line(self) -> bytes:
        """A line of JSON with its line feed."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def of_line(cls, line: bytes) -> UsageRecord:
        """Parse a line.

        Raises:
            ValueError: if the line is not a complete record.
        """
        raw: Any = orjson.loads(line)
        if not isinstance(raw, dict) or set(raw) != _FIELDS:
            raise ValueError("not a record of this ledger")
        return cls(**raw)


_FIELDS = {field.name for field in fields(UsageRecord)}


def record_of(call: Call, outcome: UsageOutcome, prices: PriceTable) -> UsageRecord:
    """The usage of a call up to now."""
    served = call.served_by or ServedBy(call.model, None, None, "unknown")
    rates = FREE if outcome is UsageOutcome.FAILED else prices.rates(served)
    usage = call.usage
    cost = 0
    if rates is not None:
        cost = rates.cost_micros(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    return UsageRecord(
        id=call.id,
        request_id=call.request_id,
        at_ms=int(call.at * _MS),
        tenant=call.caller.tenant,
        key_id=call.caller.key_id,
        model=served.model,
        version=served.version,
        source=served.source,
        endpoint=call.ask.endpoint,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        seconds=time.perf_counter() - call.began,
        prompt_micros=None if rates is None else rates.prompt_micros,
        cached_micros=None if rates is None else rates.cached_micros,
        completion_micros=None if rates is None else rates.completion_micros,
        currency=prices.currency,
        cost_micros=cost,
        outcome=outcome.value,
    )
