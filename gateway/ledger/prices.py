"""Converts tokens to cost, in whole millionths of the currency's unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from enginehouse.api.call import ServedBy
from enginehouse.gateway.accounting import MICROS_A_UNIT
from enginehouse.gateway.ledger.config import ANY_MODEL, CachedAnswers, LedgerConfig, Price

_MILLION = 1_000_000
#: Versions and providers whose rates are cached.
_MOST_KNOWN = 1000
_CACHE = "cache"
_PROVIDER = "provider:"


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices as integers: micro-units of the currency for a million tokens."""

    prompt_micros: int
    cached_micros: int
    completion_micros: int

    def cost_micros(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> int:
        """The cost of a call, rounded once, half up.

        Args:
            prompt_tokens: all prompt tokens, including cached ones.
        """
        total = (
            (prompt_tokens - cached_tokens) * self.prompt_micros
            + cached_tokens * self.cached_micros
            + completion_tokens * self.completion_micros
        )
        # Prices are for a million tokens.
        return (2 * total + _MILLION) // (2 * _MILLION)


FREE = Rates(0, 0, 0)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The configured prices."""

    prices: Sequence[Price] = ()
    currency: str = "USD"
    cached_answers: CachedAnswers = CachedAnswers.FREE
    _ready: Callable[[ServedBy], Rates | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ready", lru_cache(_MOST_KNOWN)(self._looked_up))

    @classmethod
    def of(cls, config: LedgerConfig) -> PriceTable:
        """Create the table of a configuration."""
        return cls(config.prices, config.currency, config.cached_answers)

    def rates(self, served: ServedBy) -> Rates | None:
        """The rates of a model or provider; None if no entry matches."""
        return self._ready(served)

    def _looked_up(self, served: ServedBy) -> Rates | None:
        if served.source == _CACHE and self.cached_answers is CachedAnswers.FREE:
            return FREE
        fitting = [price for price in self.prices if _fits(price, served)]
        return _rates(max(fitting, key=_specific)) if fitting else None


def _fits(price: Price, served: ServedBy) -> bool:
    # An entry for our models must not match a provider's model of the same name.
    external = served.source.startswith(_PROVIDER)
    provider = served.source.removeprefix(_PROVIDER) if external else None
    return (
        price.provider == provider
        and price.model in {ANY_MODEL, served.model}
        and price.version in {None, served.version}
    )


def _specific(price: Price) -> tuple[bool, bool]:
    return price.model != ANY_MODEL, price.version is not None


def _rates(price: Price) -> Rates:
    cached = price.cached_prompt_per_million
    return Rates(
        _micros(price.prompt_per_million),
        _micros(price.prompt_per_million if cached is None else cached),
        _micros(price.completion_per_million),
    )


def _micros(units: Decimal) -> int:
    return int(units * MICROS_A_UNIT)


def units(micros: int) -> Decimal:
    """Convert micro-units to units of the currency, exactly."""
    return Decimal(micros).scaleb(-6)
