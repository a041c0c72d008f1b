"""Where limits are counted: what is asked of a store, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What is counted by a store."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit over time, and what is wanted of it.

    Attributes:
        key: names the count; keys of one call have the same ``{…}`` part.
        capacity: most in any `window_s` seconds.
        amount: to take; 0 only asks whether the limit is kept.
    """

    kind: Kind
    key: str
    capacity: int
    amount: int
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Places:
    """A limit on how many at once; one place is wanted.

    Attributes:
        key: names the count; keys of one call have the same ``{…}`` part.
        capacity: places there are.
    """

    key: str
    capacity: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that one call takes at once: everything or nothing.

    Attributes:
        holder: unique name of who takes it.
    """

    holder: str
    rates: Sequence[Rate] = ()
    places: Sequence[Places] = ()

    def __bool__(self) -> bool:
        return bool(self.rates or self.places)


@dataclass(frozen=True, slots=True)
class Level:
    """Where a limit stands.

    Attributes:
        reset_s: time until it is all there again, in seconds.
    """

    kind: Kind
    capacity: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was taken.

    Attributes:
        kind: of the first limit that refuses.
        capacity: of that limit.
        amount: that was wanted of it.
        retry_after_s: when it may fit, in seconds.
        levels: of all rates.
    """

    kind: Kind
    capacity: int
    amount: int
    retry_after_s: float
    levels: Sequence[Level] = field(default_factory=tuple)


class Hold(Protocol):
    """What was taken. Its methods return at once, never fail, and may be called again."""

    @property
    def levels(self) -> Sequence[Level]:
        """Of all rates, after it was taken."""
        ...

    def settle(self, kind: Kind, actual: int) -> None:
        """Have what was taken of the rates of a kind amount to `actual`."""
        ...

    def release(self) -> None:
        """Give the places back."""
        ...


class LimitStore(Protocol):
    """Counts for one adapter or for several."""

    async def take(self, wanted: Wanted) -> Hold | Refusal:
        """Take all that is wanted, or nothing.

        Raises:
            StoreError: if it cannot be counted.
        """
        ...

    async def close(self) -> None:
        """Write down what is on its way and let go of connections."""
        ...
