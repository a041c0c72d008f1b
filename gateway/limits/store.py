"""Where limits are counted: what is asked of a store, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class LimitKind(StrEnum):
    """What is counted by a store."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit over time, and what is wanted of it.

    Attributes:
        key: names the count; keys of one call have the same ``{…}`` part.
        capacity: most in any `window_s` seconds.
        amount: to take; 0 only asks whether the limit is kept.
    """

    kind: LimitKind
    key: str
    capacity: int
    amount: int
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """A limit on how many at once; one place is wanted.

    Attributes:
        key: names the count; keys of one call have the same ``{…}`` part.
        capacity: places there are.
    """

    key: str
    capacity: int


@dataclass(frozen=True, slots=True)
class LimitClaim:
    """All that one call takes at once: everything or nothing.

    Attributes:
        holder: unique name of who takes it.
    """

    holder: str
    rates: Sequence[RateLimit] = ()
    places: Sequence[ConcurrencyLimit] = ()

    def __bool__(self) -> bool:
        return bool(self.rates or self.places)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """Where a limit stands.

    Attributes:
        reset_s: time until it is all there again, in seconds.
    """

    kind: LimitKind
    capacity: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitRefusal:
    """Nothing was taken.

    Attributes:
        kind: of the first limit that refuses.
        capacity: of that limit.
        amount: that was wanted of it.
        retry_after_s: when it may fit, in seconds.
        levels: of all rates.
    """

    kind: LimitKind
    capacity: int
    amount: int
    retry_after_s: float
    levels: Sequence[LimitStatus] = field(default_factory=tuple)


class LimitHold(Protocol):
    """What was taken. Its methods return at once, never fail, and may be called again."""

    @property
    def levels(self) -> Sequence[LimitStatus]:
        """Of all rates, after it was taken."""
        ...

    def settle(self, kind: LimitKind, actual: int) -> None:
        """Have what was taken of the rates of a kind amount to `actual`."""
        ...

    def release(self) -> None:
        """Give the places back."""
        ...


class LimitStore(Protocol):
    """Counts for one adapter or for several."""

    async def take(self, wanted: LimitClaim) -> LimitHold | LimitRefusal:
        """Take all that is wanted, or nothing.

        Raises:
            StoreError: if it cannot be counted.
        """
        ...

    async def close(self) -> None:
        """Write down what is on its way and let go of connections."""
        ...
