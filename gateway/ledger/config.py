"""How usage is written down and what it costs."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

ANY_MODEL = "*"
_PerMillion = Annotated[Decimal, Field(ge=0, decimal_places=6, max_digits=15)]
_Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Confirm(StrEnum):
    """What must have a record before the end of its answer is given on.

    Attributes:
        SPOOL: a file; what is in it survives this process.
        DATABASE: a commit; what it has survives what the database survives.
    """

    SPOOL = "spool"
    DATABASE = "database"


class OnFailure(StrEnum):
    """What happens to calls while the database fails."""

    SPOOL = "spool"
    REFUSE = "refuse"


class CachedAnswers(StrEnum):
    """What an answer from the response cache costs."""

    FREE = "free"
    FULL = "full"


class Price(BaseModel):
    """What tokens of one source cost, in the currency's units for a million of them.

    Attributes:
        model: name of the model that answers; ``*`` is any.
        version: of that model; None is any.
        provider: name of the external provider that answers; None is an engine of ours.
        prompt_per_million: for tokens of prompts.
        cached_prompt_per_million: for those that the engine had in its cache; None is the same.
        completion_per_million: for tokens of answers.
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
        enabled: whether usage is written down.
        confirm: what the end of an answer waits for: ``spool`` or ``database``.
        on_failure: ``spool`` answers on, ``refuse`` answers 503, while the database fails.
        patience_s: a transaction that takes longer counts as failed until it ends, in seconds;
            nobody waits for it any longer.
        retry_s: between two tries to reach a database that has failed, in seconds.
        batch: most records of one transaction.
        currency: three letters, for example EUR.
        cached_answers: ``free`` or ``full`` price for answers of the response cache.
        prices: the most specific entry counts; a call that none fits costs nothing.
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
