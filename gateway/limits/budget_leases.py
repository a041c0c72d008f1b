"""What calls hold back of budgets, seen by every adapter that shares a Redis."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from enginehouse.gateway.ledger.prices import MICROS_A_UNIT
from enginehouse.gateway.limits.amount import NOTHING, BudgetAmount
from enginehouse.gateway.limits.redis_steps import RENEWALS, RedisSteps
from enginehouse.gateway.limits.scripts import HOLD, KEEP

from enginehouse.errors import StoreError

_log = logging.getLogger(__name__)


class BudgetRemainder(NamedTuple):
    """What the ledger leaves of a budget; None is no budget."""

    tokens: int | None
    cost: float | None

    def arguments(self) -> list[int | str]:
        """As the script takes them: cost in millionths, rounded down."""
        cost = None if self.cost is None else math.floor(self.cost * MICROS_A_UNIT)
        return ["" if value is None else value for value in (self.tokens, cost)]


@dataclass(slots=True)
class BudgetLease:
    """What one call holds back of one tenant's or key's budgets; its methods never fail.

    Attributes:
        fits: whether it is held back; otherwise nothing is.
        others: what all other calls hold back, in any adapter.
    """

    leases: BudgetLeases
    key: str
    holder: str
    fits: bool
    others: BudgetAmount

    def keep(self, amount: BudgetAmount) -> None:
        """Hold back this amount instead; nothing gives it all back."""
        self.leases.keep(self.key, self.holder, amount)

    def end(self, spent: BudgetAmount, recent_s: float) -> None:
        """The call has ended; what it has spent counts until the ledger has it for certain."""
        self.leases.end(self.key, self.holder, spent, recent_s)


class BudgetLeases:
    """Holds amounts in Redis, each under a lease that is renewed as long as this process lives."""

    def __init__(
        self,
        steps: RedisSteps,
        *,
        lease_s: float,
        retry_s: float,
        failed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to renew, in the running event loop.

        Args:
            retry_s: for which nobody asks Redis again that has not answered.
            failed: is told of each call that Redis has not answered.
        """
        self._steps = steps
        self._hold = steps.script(HOLD)
        self._lease_s = lease_s
        self._retry_s = retry_s
        self._failed = failed
        self._clock = clock
        self._away_until: float | None = None
        self._held: dict[tuple[str, str], BudgetAmount] = {}
        self._renewing = asyncio.create_task(self._renew(), name="limits-renew-budget-leases")

    async def hold(self, key: str, amount: BudgetAmount, left: BudgetRemainder) -> BudgetLease:
        """Hold an amount back if all that is held leaves room for it: one step of Redis.

        Raises:
            StoreError: if Redis does not answer, or has not a moment ago.
        """
        if self._away_until is not None and self._clock() < self._away_until:
            raise StoreError("the shared limits' Redis does not answer")
        lease = BudgetLease(self, key, uuid.uuid4().hex, fits=False, others=NOTHING)
        asked = [lease.holder, self._ms(self._lease_s), amount.tokens, amount.micros]
        answered = False
        try:
            fits, tokens, micros = await self._steps.ask(
                self._hold, [key], [*asked, *left.arguments()]
            )
            answered = True
        except StoreError as error:
            self._failed()
            if self._away_until is None:
                _log.warning("%s; what other adapters' calls hold of budgets is not seen", error)
            self._away_until = self._clock() + self._retry_s
            raise
        finally:
            if not answered:
                # It may have been done all the same.
                self.keep(key, lease.holder, NOTHING)
        self._away_until = None
        lease.fits, lease.others = bool(fits), BudgetAmount(tokens, micros / MICROS_A_UNIT)
        if lease.fits and any(amount):
            self._held[key, lease.holder] = amount
        return lease

    def keep(self, key: str, holder: str, amount: BudgetAmount) -> None:
        """See `BudgetLease`."""
        if any(amount):
            self._held[key, holder] = amount
        else:
            self._held.pop((key, holder), None)
        self._write(key, holder, amount, self._lease_s)

    def end(self, key: str, holder: str, spent: BudgetAmount, recent_s: float) -> None:
        """See `BudgetLease`."""
        self._held.pop((key, holder), None)
        self._write(key, holder, spent, recent_s)

    async def close(self) -> None:
        """Give back what is held; `RedisSteps.close` writes it down."""
        self._renewing.cancel()
        await asyncio.gather(self._renewing, return_exceptions=True)
        for key, holder in list(self._held):
            self.keep(key, holder, NOTHING)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            for (key, holder), amount in self._held.items():
                self._write(key, holder, amount, self._lease_s)

    def _write(self, key: str, holder: str, amount: BudgetAmount, lease_s: float) -> None:
        self._steps.later(KEEP, key, [self._ms(lease_s), holder, amount.tokens, amount.micros])

    @staticmethod
    def _ms(seconds: float) -> int:
        return math.ceil(seconds * 1000)
