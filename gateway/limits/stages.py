"""The stages that keep limits: one for every call, one where tokens are known."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enginehouse.api.call import CHARACTERS_A_TOKEN, Call, Expected, Prepared, VectorCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import See
from enginehouse.gateway.accounting import Price
from enginehouse.gateway.limits.amount import NOTHING, BudgetAmount
from enginehouse.gateway.limits.answers import rate_limit_error, write_headers
from enginehouse.gateway.limits.budgets import BudgetReservation, Budgets
from enginehouse.gateway.limits.metrics import LimitMetrics
from enginehouse.gateway.limits.policy import LimitPolicy, LimitRule, wanted
from enginehouse.gateway.limits.store import (
    LimitClaim,
    LimitHold,
    LimitKind,
    LimitRefusal,
    LimitStore,
)

from enginehouse.errors import ContextOverflowError

#: Tokens beyond the reservation after which a running answer is charged again.
_CHARGE_TOKENS = 64
_FIELDS = {"completions": "prompt", "embeddings": "input"}


@dataclass(frozen=True, slots=True)
class LimitEnforcer:
    """What both stages share.

    Attributes:
        price: of tokens; None where there is no price table.
        reserve_tokens: of an answer whose length is not bounded.
    """

    policy: LimitPolicy
    store: LimitStore
    budgets: Budgets
    metrics: LimitMetrics
    price: Price | None
    reserve_tokens: int

    async def take(self, call: Call, items: LimitClaim) -> LimitHold | None:
        """Take what a call wants; None if no limit holds for it.

        Raises:
            RateLimitError: if a limit is reached.
            StoreError: if the store fails and `on_store_failure` is ``refuse``.
        """
        if not items:
            return None
        found = await self.store.take(items)
        write_headers(call.response_headers, found.levels)
        if isinstance(found, LimitRefusal):
            self.metrics.refused(call.caller.tenant, found.kind)
            raise rate_limit_error(found)
        return found

    def check_context(self, call: Call, rules: Sequence[LimitRule], prompt_tokens: int) -> None:
        """Refuse a prompt that is too long.

        Raises:
            ContextOverflowError: naming its field.
        """
        for rule in rules:
            most = rule.limits.context_tokens
            if most is not None and prompt_tokens > most:
                self.metrics.refused(call.caller.tenant, "context_tokens")
                raise ContextOverflowError(
                    f"This model's maximum context length is {most} tokens for {rule.who}. "
                    f"However, the prompt has {prompt_tokens} tokens: shorten it",
                    field=_FIELDS.get(call.ask.endpoint, "messages"),
                )

    def amount(self, call: Call, prompt_tokens: int, completion_tokens: int) -> BudgetAmount:
        """Tokens with their cost."""
        served = call.served_by
        cost = self.price(served, prompt_tokens, completion_tokens) if self.price and served else 0
        return BudgetAmount(prompt_tokens + completion_tokens, cost)

    def answer_tokens(self, expected: Expected) -> int:
        """What is reserved for the answer, and what it weighs in the queue."""
        most = expected.completion_tokens
        return most if expected.bounded else min(most, self.reserve_tokens)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Requests a minute, requests in flight, budgets, priority.

    It counts the tokens of answers that `TokenLimits` does not see: vectors, and what an external
    provider has answered.
    """

    limits: LimitEnforcer

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[None, None]:
        """See `Watcher`.

        Raises:
            RateLimitError: if a limit is reached.
            BudgetError: if nothing is left of a budget.
            ContextOverflowError: if the prompt is too long.
        """
        limits = self.limits
        rules = limits.policy.rules(call.caller)
        call.priority = limits.policy.priority(call.caller, call.priority)
        expected = 0
        if isinstance(call, VectorCall):
            expected = call.expected_tokens
            limits.check_context(call, rules, _longest_text(call))
        spending = await limits.budgets.reserve(rules, BudgetAmount(expected))
        used = NOTHING
        hold: LimitHold | None = None
        try:
            amounts = {LimitKind.REQUESTS: 1, LimitKind.TOKENS: expected}
            hold = await limits.take(call, wanted(call.id, rules, amounts, place=True))
            yield
        finally:
            if _counted_here(call):
                usage = call.usage
                used = limits.amount(call, usage.prompt_tokens, usage.completion_tokens)
            spending.spend(used)
            if hold is not None:
                hold.settle(LimitKind.TOKENS, used.tokens)
                hold.release()


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """Tokens a minute, context, and what an answer may cost; behind the tokenization."""

    limits: LimitEnforcer

    @asynccontextmanager
    async def enter(self, prepared: Prepared) -> AsyncGenerator[See, None]:
        """See `Watcher`.

        Raises:
            RateLimitError: if the limit is reached, or is below what the call may take.
            BudgetError: if the budget does not allow it.
            ContextOverflowError: if a prompt is too long.
        """
        limits, call, expected = self.limits, prepared.call, prepared.expected
        rules = limits.policy.rules(call.caller)
        limits.check_context(call, rules, _longest_prompt(prepared))
        reserved = limits.amount(call, expected.prompt_tokens, limits.answer_tokens(expected))
        spending = await limits.budgets.reserve(rules, reserved)
        meter = _Meter(limits, call, expected.prompt_tokens, spending, charged=reserved.tokens)
        try:
            items = wanted(call.id, rules, {LimitKind.TOKENS: reserved.tokens})
            meter.hold = await limits.take(call, items)
            yield meter.see
        finally:
            used = self._used(prepared) if meter.answered else NOTHING
            spending.spend(used)
            if meter.hold is not None:
                meter.hold.settle(LimitKind.TOKENS, used.tokens)

    def _used(self, prepared: Prepared) -> BudgetAmount:
        usage = prepared.choices.usage
        return self.limits.amount(prepared.call, usage.prompt_tokens, usage.completion_tokens)


@dataclass(slots=True)
class _Meter:
    """Charges a running answer again when it is longer than what was reserved.

    Attributes:
        charged: tokens that are held back for it.
    """

    limits: LimitEnforcer
    call: Call
    prompt_tokens: int
    spending: BudgetReservation
    charged: int
    hold: LimitHold | None = None
    generated: int = 0
    answered: bool = False

    def see(self, piece: TextChunk) -> None:
        """See `See`."""
        self.answered = True
        self.generated += len(piece.token_ids)
        if self.prompt_tokens + self.generated < self.charged + _CHARGE_TOKENS:
            return
        now = self.limits.amount(self.call, self.prompt_tokens, self.generated)
        self.charged = now.tokens
        self.spending.hold_back(now)
        if self.hold is not None:
            self.hold.settle(LimitKind.TOKENS, self.charged)


def _counted_here(call: Call) -> bool:
    served = call.served_by
    return isinstance(call, VectorCall) or (
        served is not None and served.source.startswith("provider:")
    )


def _longest_text(call: Call) -> int:
    """Tokens, estimated where they are text."""
    sizes = [
        len(text) // CHARACTERS_A_TOKEN if isinstance(text, str) else len(text)
        for text in call.texts
    ]
    return max(sizes, default=0)


def _longest_prompt(prepared: Prepared) -> int:
    return max(len(generation.prompt.ids) for generation in prepared.choices.generations)
