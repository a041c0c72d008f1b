"""What budgets ask of whoever records usage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enginehouse.api.call import ServedBy

#: Money is counted in millionths of the currency's unit.
MICROS_A_UNIT = 1_000_000
#: Who answers, tokens of the prompt, tokens of the answer → cost in the currency's units.
Price = Callable[[ServedBy, int, int], float]


class SpentAmounts(Protocol):
    """What was spent in this UTC day and month; cost in the currency's units."""

    @property
    def day_tokens(self) -> int: ...  # noqa: D102 - see the class
    @property
    def month_tokens(self) -> int: ...  # noqa: D102
    @property
    def day_cost(self) -> float: ...  # noqa: D102
    @property
    def month_cost(self) -> float: ...  # noqa: D102


class SpendingSource(Protocol):
    """Knows what was spent."""

    async def spent(self, tenant: str, key_id: str | None) -> SpentAmounts:
        """Of a key, or of a tenant with all its keys where `key_id` is None.

        Raises:
            StoreError: if it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Nothing:
    day_tokens: int = 0
    month_tokens: int = 0
    day_cost: float = 0.0
    month_cost: float = 0.0


class NothingSpent:
    """Where no usage is recorded; see `SpendingSource`."""

    async def spent(self, tenant: str, key_id: str | None) -> SpentAmounts:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return _Nothing()


@dataclass(frozen=True, slots=True)
class Accounting:
    """Offered by the stage that records usage.

    Attributes:
        price: of tokens; None where no usage is recorded.
    """

    spending: SpendingSource
    price: Price | None = None
