"""Daily and monthly budgets of tokens and cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from enginehouse.gateway.accounting import SpendingSource, SpentAmounts
from enginehouse.gateway.limits.amount import NOTHING, BudgetAmount
from enginehouse.gateway.limits.budget_leases import BudgetLease, BudgetLeases, BudgetRemainder
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitRule

from enginehouse.errors import BudgetError, StoreError

_log = logging.getLogger(__name__)
#: How long sums read from the ledger are reused, in seconds.
_FRESH_S = 1.0
#: How long a call that ended in this adapter is counted on top of the ledger's sums. After that
#: time the ledger has recorded it.
_RECENT_S = 3.0
_MOST_ACCOUNTS = 10_000


@dataclass(slots=True)
class _Account:
    """Spending of one tenant or key, as this adapter knows it.

    Attributes:
        read_at: time of the last read from the ledger, in Unix seconds.
        day: ordinal of the UTC day to which `spent` belongs.
        spent: sums read from the ledger; None before the first read.
        in_flight: sum reserved by calls that have not ended.
        recent: calls that ended here, each with the time of its end; `ended` is their sum.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    day: int = 0
    spent: SpentAmounts | None = None
    in_flight: BudgetAmount = NOTHING
    recent: deque[tuple[float, BudgetAmount]] = field(default_factory=deque)
    ended: BudgetAmount = NOTHING

    @property
    def day_spent(self) -> BudgetAmount:
        """What the ledger has of this day."""
        return (
            NOTHING
            if self.spent is None
            else BudgetAmount(self.spent.day_tokens, self.spent.day_cost)
        )

    @property
    def month_spent(self) -> BudgetAmount:
        """What the ledger has of this month."""
        spent = self.spent
        return NOTHING if spent is None else BudgetAmount(spent.month_tokens, spent.month_cost)

    def end(self, amount: BudgetAmount, now: float) -> None:
        """A call has ended and spent this."""
        self.recent.append((now, amount))
        self.ended = self.ended.plus(amount)

    def local(self, now: float) -> BudgetAmount:
        """What the ledger may not have yet."""
        while self.recent and self.recent[0][0] < now - _RECENT_S:
            self.ended = self.ended.minus(self.recent.popleft()[1])
        if not self.recent:
            # Rounding errors remain after adding and subtracting fractions.
            self.ended = NOTHING
        return self.in_flight.plus(self.ended)

    def unused(self, now: float) -> bool:
        """Whether the account can be dropped without losing information."""
        return (
            not self.lock.locked() and now - self.read_at > _RECENT_S and not any(self.local(now))
        )


class Budgets:
    """Checks budgets, and reserves the amounts that calls in flight may spend.

    Budgets are exact across all adapters that share `leases`. Without leases, or while their Redis
    is unreachable, calls in flight in another adapter are not counted until they end.
    """

    def __init__(
        self,
        spending: SpendingSource,
        metrics: LimitMetrics,
        *,
        refuse: bool,
        leases: BudgetLeases | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the sums from `spending`.

        Args:
            refuse: whether calls are rejected while the ledger or the leases cannot be read. If
                not,
                the sums that were read last count, plus what was spent in this adapter.
            leases: reservations shared with other adapters; None if there is only this adapter.
            clock: current time in Unix seconds.
        """
        self._spending = spending
        self._metrics = metrics
        self._refuse = refuse
        self._leases = leases
        self._clock = clock
        self._accounts: dict[tuple[str, str | None], _Account] = {}
        self._failing = False

    async def reserve(self, rules: Sequence[LimitRule], amount: BudgetAmount) -> BudgetReservation:
        """Hold back what a call may spend; the amount 0 asks whether anything is left.

        Raises:
            BudgetError: naming the budget that is exhausted or too small.
            StoreError: if the ledger or the leases cannot be read and `refuse` is set.
        """
        budgeted = [rule for rule in rules if rule.limits.has_budget]
        accounts = [self._account(rule) for rule in budgeted]
        for rule, account in zip(budgeted, accounts, strict=True):
            await self._refresh(rule, account)
        # No await from here on, so that no other call runs between the check and the reservation.
        for rule, account in zip(budgeted, accounts, strict=True):
            self._check(rule, account, amount, account.local(self._clock()))
        reservation = BudgetReservation(accounts, self._clock).hold_back(amount)
        # An amount of 0 is only the early look at what another stage reserves.
        if self._leases is None or not any(amount):
            return reservation
        try:
            for rule, account in zip(budgeted, accounts, strict=True):
                await self._hold(self._leases, rule, account, amount, reservation)
        except BaseException:
            reservation.spend(NOTHING)
            raise
        return reservation

    async def _hold(
        self,
        leases: BudgetLeases,
        rule: LimitRule,
        account: _Account,
        amount: BudgetAmount,
        reservation: BudgetReservation,
    ) -> None:
        """Reserve an amount in the shared leases, if it fits beside other adapters' calls."""
        try:
            lease = await leases.hold(f"{rule.prefix}:held", amount, _left(rule, account))
        except StoreError:
            if self._refuse:
                raise
            return
        reservation.leases.append(lease)
        if not lease.fits:
            self._check(rule, account, amount, lease.others)
            # The check passed although the script rejected it: the difference is a rounding error
            # below one millionth, so the amount is reserved.
            lease.keep(amount)

    def _account(self, rule: LimitRule) -> _Account:
        if len(self._accounts) >= _MOST_ACCOUNTS:
            now = self._clock()
            for key in [key for key, account in self._accounts.items() if account.unused(now)]:
                del self._accounts[key]
        return self._accounts.setdefault((rule.tenant, rule.key_id), _Account())

    async def _refresh(self, rule: LimitRule, account: _Account) -> None:
        async with account.lock:
            now = self._clock()
            if now - account.read_at < _FRESH_S:
                return
            account.read_at = now
            today = datetime.fromtimestamp(now, UTC).toordinal()
            try:
                account.spent = await self._spending.spent(rule.tenant, rule.key_id)
                account.day = today
                self._failing = False
            except StoreError as error:
                self._failed(error)
                if account.day != today:
                    # The sums belong to another day, possibly to another month.
                    account.spent = None

    def _failed(self, error: StoreError) -> None:
        self._metrics.store_failures.inc()
        if self._refuse:
            raise error
        if not self._failing:
            self._failing = True
            _log.warning(
                "budgets count only what is known here until the ledger answers: %s", error
            )

    def _check(
        self, rule: LimitRule, account: _Account, amount: BudgetAmount, held: BudgetAmount
    ) -> None:
        """Whether what was spent, and what others hold back, leaves room for an amount."""
        now, limits = self._clock(), rule.limits
        day, month = account.day_spent, account.month_spent
        for name, budget, used, more in (
            ("daily_tokens", limits.daily_tokens, day.tokens + held.tokens, amount.tokens),
            ("monthly_tokens", limits.monthly_tokens, month.tokens + held.tokens, amount.tokens),
            ("daily_cost", limits.daily_cost, day.cost + held.cost, amount.cost),
            ("monthly_cost", limits.monthly_cost, month.cost + held.cost, amount.cost),
        ):
            if budget is not None and (used >= budget or used + more > budget):
                self._metrics.refused(rule.tenant, name)
                left, after_s = max(0, budget - used), _until_next(name, now)
                raise BudgetError(
                    f"{name} of {rule.who} is {budget:g}, and {left:g} of it is left: wait "
                    f"{after_s / 3600:.0f} hours, lower max_tokens, or have the budget raised",
                    retry_after_s=after_s,
                )


@dataclass(slots=True)
class BudgetReservation:
    """What a call holds back of the budgets; its methods never fail.

    Attributes:
        leases: the same reservations where other adapters see them.
    """

    _accounts: Sequence[_Account]
    _clock: Callable[[], float]
    _amount: BudgetAmount = NOTHING
    leases: list[BudgetLease] = field(default_factory=list)

    def hold_back(self, amount: BudgetAmount) -> BudgetReservation:
        """Hold back this amount instead."""
        more = amount.minus(self._amount)
        for account in self._accounts:
            account.in_flight = account.in_flight.plus(more)
        self._amount = amount
        for lease in self.leases:
            lease.keep(amount)
        return self

    def spend(self, actual: BudgetAmount) -> None:
        """The call has ended and spent this; it counts until the ledger has it."""
        leases, self.leases = self.leases, []
        for lease in leases:
            lease.end(actual, _RECENT_S)
        self.hold_back(NOTHING)
        if any(actual):
            for account in self._accounts:
                account.end(actual, self._clock())


def _left(rule: LimitRule, account: _Account) -> BudgetRemainder:
    """What the ledger leaves of the tighter of a day's and a month's budget."""
    limits, day, month = rule.limits, account.day_spent, account.month_spent
    tokens = ((limits.daily_tokens, day.tokens), (limits.monthly_tokens, month.tokens))
    costs = ((limits.daily_cost, day.cost), (limits.monthly_cost, month.cost))
    return BudgetRemainder(
        min((most - used for most, used in tokens if most is not None), default=None),
        min((most - used for most, used in costs if most is not None), default=None),
    )


def _until_next(name: str, now: float) -> float:
    """Time until the budget's next day or month begins, in seconds."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if name.startswith("daily"):
        begins = today + timedelta(days=1)
    else:
        begins = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return begins.timestamp() - now
