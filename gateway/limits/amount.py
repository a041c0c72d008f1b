"""What calls spend: tokens and money."""

from __future__ import annotations

import math
from typing import NamedTuple

from enginehouse.gateway.ledger.prices import MICROS_A_UNIT


class BudgetAmount(NamedTuple):
    """Tokens and cost of one or several calls; the cost is in the currency's units."""

    tokens: int = 0
    cost: float = 0.0

    def plus(self, other: BudgetAmount) -> BudgetAmount:
        """The sum of both amounts."""
        return BudgetAmount(self.tokens + other.tokens, self.cost + other.cost)

    def minus(self, other: BudgetAmount) -> BudgetAmount:
        """The difference of both amounts."""
        return BudgetAmount(self.tokens - other.tokens, self.cost - other.cost)

    @property
    def micros(self) -> int:
        """The cost in millionths, rounded up."""
        return math.ceil(self.cost * MICROS_A_UNIT)


NOTHING = BudgetAmount()
