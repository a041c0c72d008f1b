"""Amounts reserved of budgets, kept in Redis for all adapters that share it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from enginehouse.gateway.accounting import MICROS_A_UNIT
from enginehouse.gateway.limits.amount import NOTHING, BudgetAmount
from enginehouse.gateway.limits.redis_steps import RENEWALS, RedisSteps
from enginehouse.gateway.limits.scripts import HOLD, KEEP

from enginehouse.errors import StoreError
from enginehouse.supervision import start_loop

_log = logging.getLogger(__name__)


class BudgetRemainder(NamedTuple):
    """What the ledger leaves of a budget; None means that there is no budget."""

    tokens: int | None
    cost: float | None

    def arguments(self) -> list[int | str]:
        """Arguments of the script: the cost is in millionths, rounded down."""
        cost = None if self.cost is None else math.floor(self.cost * MICROS_A_UNIT)
        return ["" if value is None else value for value in (self.tokens, cost)]


@dataclass(slots=True)
class BudgetLease:
    """The amount that one call reserves of one tenant's or key's budgets; its methods never fail.

    Attributes:
        fits: whether the amount was reserved.
        others: sum that all other calls hold, in any adapter.
    """

    leases: BudgetLeases
    key: str
    holder: str
    fits: bool
    others: BudgetAmount

    def keep(self, amount: BudgetAmount) -> None:
        """Reserve this amount instead; `NOTHING` releases the reservation."""
        self.leases.keep(self.key, self.holder, amount)

    def end(self, spent: BudgetAmount, recent_s: float) -> None:
        """End the call: the spent amount counts for `recent_s`, until the ledger has it."""
        self.leases.end(self.key, self.holder, spent, recent_s)


class BudgetLeases:
    """Reserves amounts in Redis, each under a lease that this process renews."""

    def __init__(
        self,
        steps: RedisSteps,
        *,
        lease_s: float,
        retry_s: float,
        failed: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start renewing leases, in the running event loop.

        Args:
            retry_s: time after a failure for which Redis is not asked again.
            failed: called for each request that Redis did not answer.
        """
        self._steps = steps
        self._hold = steps.script(HOLD)
        self._lease_s = lease_s
        self._retry_s = retry_s
        self._failed = failed
        self._clock = clock
        self._away_until: float | None = None
        self._held: dict[tuple[str, str], BudgetAmount] = {}
        self._renewing = start_loop("limits-renew-budget-leases", self._renew)

    async def hold(self, key: str, amount: BudgetAmount, left: BudgetRemainder) -> BudgetLease:
        """Reserve an amount if it fits beside all others. This is one atomic step in Redis.

        Raises:
            StoreError: if Redis does not answer, or failed less than `retry_s` ago.
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
                # Redis may have run the script although no answer arrived.
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
        """Queue the release of all reservations; `RedisSteps.close` writes it."""
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
