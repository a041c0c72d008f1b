"""What may be spent in a day and in a month."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from enginehouse.api.call import ServedBy
from enginehouse.gateway.limits.amount import NOTHING, Amount
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import Rule
from enginehouse.gateway.limits.purses import Left, Purse, Purses

from enginehouse.errors import BudgetError, StoreError

_log = logging.getLogger(__name__)
#: How long what was read is used.
_FRESH_S = 1.0
#: How long what ended here is counted beside what is read: until then the ledger has it too.
_RECENT_S = 3.0
_MOST_ACCOUNTS = 10_000

#: Who answers, tokens of the prompt, tokens of the answer → cost in the currency's units.
Price = Callable[[ServedBy, int, int], float]


class Spent(Protocol):
    """What was spent in this UTC day and month; cost in the currency's units."""

    @property
    def day_tokens(self) -> int: ...  # noqa: D102 - see the class
    @property
    def month_tokens(self) -> int: ...  # noqa: D102
    @property
    def day_cost(self) -> float: ...  # noqa: D102
    @property
    def month_cost(self) -> float: ...  # noqa: D102


class Spending(Protocol):
    """Knows what was spent: the ledger."""

    async def spent(self, tenant: str, key_id: str | None) -> Spent:
        """Of a key, or of a tenant with all its keys where `key_id` is None.

        Raises:
            StoreError: if it cannot be read.
        """
        ...


@dataclass(slots=True)
class _Account:
    """Of a tenant or a key.

    Attributes:
        recent: calls that ended here, with the time; `ended` is their sum.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    day: int = 0
    spent: Spent | None = None
    in_flight: Amount = NOTHING
    recent: deque[tuple[float, Amount]] = field(default_factory=deque)
    ended: Amount = NOTHING

    @property
    def day_spent(self) -> Amount:
        """What the ledger has of this day."""
        return NOTHING if self.spent is None else Amount(self.spent.day_tokens, self.spent.day_cost)

    @property
    def month_spent(self) -> Amount:
        """What the ledger has of this month."""
        spent = self.spent
        return NOTHING if spent is None else Amount(spent.month_tokens, spent.month_cost)

    def end(self, amount: Amount, now: float) -> None:
        """A call has ended and spent this."""
        self.recent.append((now, amount))
        self.ended = self.ended.plus(amount)

    def local(self, now: float) -> Amount:
        """What the ledger may not have yet."""
        while self.recent and self.recent[0][0] < now - _RECENT_S:
            self.ended = self.ended.minus(self.recent.popleft()[1])
        if not self.recent:
            # Sums of fractions do not come back to 0 by themselves.
            self.ended = NOTHING
        return self.in_flight.plus(self.ended)

    def unused(self, now: float) -> bool:
        """Whether nothing would be lost with it."""
        return (
            not self.lock.locked() and now - self.read_at > _RECENT_S and not any(self.local(now))
        )


class Budgets:
    """Checks budgets, and holds back what calls in flight may spend.

    Exact over all adapters that share purses; without them, and while their Redis is away, calls
    that are in flight in another adapter are not seen until they end.
    """

    def __init__(
        self,
        spending: Spending,
        metrics: LimitMetrics,
        *,
        refuse: bool,
        purses: Purses | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read from the ledger.

        Args:
            refuse: whether calls are refused while the ledger, or the purses, cannot be read;
                otherwise what was read last and what was spent here counts.
            purses: shared with other adapters.
            clock: Unix time.
        """
        self._spending = spending
        self._metrics = metrics
        self._refuse = refuse
        self._purses = purses
        self._clock = clock
        self._accounts: dict[tuple[str, str | None], _Account] = {}
        self._failing = False

    async def reserve(self, rules: Sequence[Rule], amount: Amount) -> Reservation:
        """Hold back what a call may spend; the amount 0 asks whether anything is left.

        Raises:
            BudgetError: naming the budget that does not allow it.
            StoreError: if the ledger or the purses cannot be read and calls are to be refused
                then.
        """
        budgeted = [rule for rule in rules if _has_budget(rule)]
        accounts = [self._account(rule) for rule in budgeted]
        for rule, account in zip(budgeted, accounts, strict=True):
            await self._refresh(rule, account)
        # No await from here on: nobody comes between the check and the reservation.
        for rule, account in zip(budgeted, accounts, strict=True):
            self._check(rule, account, amount, account.local(self._clock()))
        reservation = Reservation(accounts, self._clock).hold_back(amount)
        # An amount of 0 is only the early look at what another stage reserves.
        if self._purses is None or not any(amount):
            return reservation
        try:
            for rule, account in zip(budgeted, accounts, strict=True):
                await self._hold(self._purses, rule, account, amount, reservation)
        except BaseException:
            reservation.spend(NOTHING)
            raise
        return reservation

    async def _hold(
        self,
        purses: Purses,
        rule: Rule,
        account: _Account,
        amount: Amount,
        reservation: Reservation,
    ) -> None:
        """Hold an amount back where other adapters see it, if they leave room for it."""
        try:
            purse = await purses.hold(f"{rule.prefix}:held", amount, _left(rule, account))
        except StoreError:
            if self._refuse:
                raise
            return
        reservation.purses.append(purse)
        if not purse.fits:
            self._check(rule, account, amount, purse.others)
            # What does not fit by a fraction of a millionth does.
            purse.keep(amount)

    def _account(self, rule: Rule) -> _Account:
        if len(self._accounts) >= _MOST_ACCOUNTS:
            now = self._clock()
            for key in [key for key, account in self._accounts.items() if account.unused(now)]:
                del self._accounts[key]
        return self._accounts.setdefault((rule.tenant, rule.key_id), _Account())

    async def _refresh(self, rule: Rule, account: _Account) -> None:
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
                    # It is of another day, perhaps of another month.
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

    def _check(self, rule: Rule, account: _Account, amount: Amount, held: Amount) -> None:
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
class Reservation:
    """What a call holds back of the budgets; its methods never fail.

    Attributes:
        purses: where other adapters see it.
    """

    _accounts: Sequence[_Account]
    _clock: Callable[[], float]
    _amount: Amount = NOTHING
    purses: list[Purse] = field(default_factory=list)

    def hold_back(self, amount: Amount) -> Reservation:
        """Hold back this amount instead."""
        more = amount.minus(self._amount)
        for account in self._accounts:
            account.in_flight = account.in_flight.plus(more)
        self._amount = amount
        for purse in self.purses:
            purse.keep(amount)
        return self

    def spend(self, actual: Amount) -> None:
        """The call has ended and spent this; it counts until the ledger has it."""
        purses, self.purses = self.purses, []
        for purse in purses:
            purse.end(actual, _RECENT_S)
        self.hold_back(NOTHING)
        if any(actual):
            for account in self._accounts:
                account.end(actual, self._clock())


def _has_budget(rule: Rule) -> bool:
    limits = rule.limits
    budgets = (
        limits.daily_tokens, limits.monthly_tokens, limits.daily_cost, limits.monthly_cost,
    )  # fmt: skip
    return any(budget is not None for budget in budgets)


def _left(rule: Rule, account: _Account) -> Left:
    """What the ledger leaves of the tighter of a day's and a month's budget."""
    limits, day, month = rule.limits, account.day_spent, account.month_spent
    tokens = ((limits.daily_tokens, day.tokens), (limits.monthly_tokens, month.tokens))
    costs = ((limits.daily_cost, day.cost), (limits.monthly_cost, month.cost))
    return Left(
        min((most - used for most, used in tokens if most is not None), default=None),
        min((most - used for most, used in costs if most is not None), default=None),
    )


def _until_next(name: str, now: float) -> float:
    """Time until the budget begins anew, in seconds."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if name.startswith("daily"):
        begins = today + timedelta(days=1)
    else:
        begins = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return begins.timestamp() - now
