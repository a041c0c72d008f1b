"""What calls spend: tokens and money."""

from __future__ import annotations

import math
from typing import NamedTuple

from enginehouse.gateway.accounting import MICROS_A_UNIT


class BudgetAmount(NamedTuple):
    """Of one call, or of several; cost in the currency's units."""

    tokens: int = 0
    cost: float = 0.0

    def plus(self, other: BudgetAmount) -> BudgetAmount:
        """Both together."""
        return BudgetAmount(self.tokens + other.tokens, self.cost + other.cost)

    def minus(self, other: BudgetAmount) -> BudgetAmount:
        """What is left."""
        return BudgetAmount(self.tokens - other.tokens, self.cost - other.cost)

    @property
    def micros(self) -> int:
        """The cost in millionths, rounded up."""
        return math.ceil(self.cost * MICROS_A_UNIT)


NOTHING = BudgetAmount()
