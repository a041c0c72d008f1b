"""Section `ledger` of the endpoint's file: durability and prices."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

ANY_MODEL = "*"
_PerMillion = Annotated[Decimal, Field(ge=0, decimal_places=6, max_digits=15)]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Confirm(StrEnum):
    """Where a record must be stored before the end of its answer is sent.

    Attributes:
        SPOOL: in a file, which survives a crash of the process.
        DATABASE: in the database, by a committed transaction.
    """

    SPOOL = "spool"
    DATABASE = "database"


class OnFailure(StrEnum):
    """What happens to calls while the database fails."""

    SPOOL = "spool"
    REFUSE = "refuse"


class CachedAnswers(StrEnum):
    """The price of an answer from the response cache."""

    FREE = "free"
    FULL = "full"


class Price(BaseModel):
    """Prices of one model or provider, in the currency's units for a million tokens.

    Attributes:
        model: name of the model that answers; ``*`` matches any.
        version: version of that model; None matches any.
        provider: name of the external provider that answers; None means our own engine.
        prompt_per_million: price of prompt tokens.
        cached_prompt_per_million: price of prompt tokens that the engine had cached; None means
            the price of other prompt tokens.
        completion_per_million: price of completion tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ANY_MODEL
    version: int | None = None
    provider: str | None = None
    prompt_per_million: _PerMillion = Decimal(0)
    cached_prompt_per_million: _PerMillion | None = None
    completion_per_million: _PerMillion = Decimal(0)


class LedgerConfig(BaseModel):
    """Section `ledger` of the endpoint's file; see docs/usage.md.

    Attributes:
        enabled: whether usage is recorded.
        confirm: what the end of an answer waits for: ``spool`` or ``database``.
        on_failure: while the database fails, ``spool`` answers calls and ``refuse`` answers 503.
        patience_s: time after which an unfinished transaction counts as failed, in seconds.
            Callers do not wait longer.
        retry_s: time between two attempts to reach a failed database, in seconds.
        batch: most records in one transaction.
        currency: three letters, for example EUR.
        cached_answers: ``free`` or ``full`` price for answers of the response cache.
        prices: the most specific matching entry counts; a call without a match costs nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    confirm: Confirm = Confirm.SPOOL
    on_failure: OnFailure = OnFailure.SPOOL
    patience_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    retry_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    batch: Annotated[int, Field(ge=1, le=10_000)] = 512
    currency: _Currency = "USD"
    cached_answers: CachedAnswers = CachedAnswers.FREE
    prices: tuple[Price, ...] = ()

    @model_validator(mode="after")
    def _one_price_each(self) -> LedgerConfig:
        seen: set[tuple[str, int | None, str | None]] = set()
        for price in self.prices:
            what = (price.model, price.version, price.provider)
            if what in seen:
                raise ValueError(
                    f"two prices for model {price.model!r}, version {price.version}, provider "
                    f"{price.provider}: keep one"
                )
            seen.add(what)
        return self
