"""Interface of the stores that count rates and concurrent calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class LimitKind(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit over time, and the amount to take of it.

    Attributes:
        key: name of the count; keys of one call have the same ``{…}`` part.
        capacity: most in any `window_s` seconds.
        amount: amount to take; 0 only checks that the limit is not exceeded.
    """

    kind: LimitKind
    key: str
    capacity: int
    amount: int
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """A limit on calls in flight; a claim takes one place.

    Attributes:
        key: name of the count; keys of one call have the same ``{…}`` part.
        capacity: number of places.
    """

    key: str
    capacity: int


@dataclass(frozen=True, slots=True)
class LimitClaim:
    """Everything that one call takes in one step: all or nothing.

    Attributes:
        holder: unique name of the call.
    """

    holder: str
    rates: Sequence[RateLimit] = ()
    places: Sequence[ConcurrencyLimit] = ()

    def __bool__(self) -> bool:
        return bool(self.rates or self.places)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """State of a limit after a claim.

    Attributes:
        reset_s: time until the whole capacity is available again, in seconds.
    """

    kind: LimitKind
    capacity: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """A claim was rejected, and nothing was taken.

    Attributes:
        kind: kind of the first limit that rejected it.
        capacity: capacity of that limit.
        amount: amount claimed of that limit.
        retry_after_s: time until the claim may fit, in seconds.
        levels: states of all rates.
    """

    kind: LimitKind
    capacity: int
    amount: int
    retry_after_s: float
    levels: Sequence[LimitStatus] = field(default_factory=tuple)


class LimitHold(Protocol):
    """A claim that was taken. Its methods return immediately, never fail, and may be repeated."""

    @property
    def levels(self) -> Sequence[LimitStatus]:
        """States of all rates after the claim."""
        ...

    def settle(self, kind: LimitKind, actual: int) -> None:
        """Change the amount taken of the rates of a kind to `actual`."""
        ...

    def release(self) -> None:
        """Release the concurrency places."""
        ...


class LimitStore(Protocol):
    """Counts for one adapter or for several."""

    async def take(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        """Take all that is claimed, or nothing.

        Raises:
            StoreError: if the store cannot count it.
        """
        ...

    async def close(self) -> None:
        """Finish pending writes and close connections."""
        ...
