"""One line of the ledger."""

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
        COMPLETED: all of it is out.
        CANCELLED: the caller left, or the time that it gave ran out; what was generated is billed.
        FAILED: we broke it off; it is free.
    """

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """What one call used.

    Attributes:
        id: of the response, made here, so that no caller can choose one that is there already.
        request_id: `x-request-id`, which a caller may repeat.
        at_ms: when it came, in milliseconds since 1970 UTC.
        version: None where an external provider answered.
        source: ``engine``, ``cache``, ``provider:NAME``, or ``unknown``.
        prompt_tokens: with `cached_tokens`, which the engine had in its cache.
        prompt_micros: price of a million tokens in micro-units; all three are None where no
            price was known.
        cost_micros: in micro-units of `currency`.
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
        """As a line of JSON, with its line feed."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def of_line(cls, line: bytes) -> UsageRecord:
        """The record of a line.

        Raises:
            ValueError: if the line is not a whole record.
        """
        raw: Any = orjson.loads(line)
        if not isinstance(raw, dict) or set(raw) != _FIELDS:
            raise ValueError("not a record of this ledger")
        return cls(**raw)


_FIELDS = {field.name for field in fields(UsageRecord)}


def record_of(call: Call, outcome: UsageOutcome, prices: PriceTable) -> UsageRecord:
    """What a call has used by now."""
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
