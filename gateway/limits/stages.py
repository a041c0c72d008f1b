"""The stages that keep limits: one for every call, one where tokens are known."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from enginehouse.api.call import CHARACTERS_A_TOKEN, Call, Expected, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.limits.amount import NOTHING, BudgetAmount
from enginehouse.gateway.limits.answers import rate_limit_error, write_headers
from enginehouse.gateway.limits.budgets import Budgets, Price
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
            StoreError: if it cannot be counted and calls are to be refused then.
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
    name: str = "request_limits"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`.

        Raises:
            RateLimitError: if a limit is reached.
            BudgetError: if nothing is left of a budget.
            ContextOverflowError: if the prompt is too long.
        """
        limits = self.limits
        rules = limits.policy.rules(call.caller)
        call.priority = limits.policy.priority(call.caller, call.priority)
        expected = call.expected.prompt_tokens if _unprepared(call) and call.expected else 0
        if _unprepared(call):
            limits.check_context(call, rules, _longest_text(call))
        spending = await limits.budgets.reserve(rules, BudgetAmount(expected))
        used = NOTHING
        hold: LimitHold | None = None
        try:
            amounts = {LimitKind.REQUESTS: 1, LimitKind.TOKENS: expected}
            hold = await limits.take(call, wanted(call.id, rules, amounts, place=True))
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    yield piece
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
    """Tokens a minute, context, and what an answer may cost; behind the stage that prepares."""

    limits: LimitEnforcer
    name: str = "token_limits"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`.

        Raises:
            RateLimitError: if the limit is reached, or is below what the call may take.
            BudgetError: if the budget does not allow it.
            ContextOverflowError: if a prompt is too long.
        """
        assert call.expected is not None  # noqa: S101 - stages stand in their order
        limits = self.limits
        rules = limits.policy.rules(call.caller)
        prompt_tokens = call.expected.prompt_tokens
        limits.check_context(call, rules, _longest_prompt(call))
        reserved = limits.amount(call, prompt_tokens, limits.answer_tokens(call.expected))
        spending = await limits.budgets.reserve(rules, reserved)
        charged, generated, answered = reserved.tokens, 0, False
        hold: LimitHold | None = None
        try:
            hold = await limits.take(
                call, wanted(call.id, rules, {LimitKind.TOKENS: reserved.tokens})
            )  # fmt: skip
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    answered = True
                    generated += len(piece.token_ids)
                    if prompt_tokens + generated >= charged + _CHARGE_TOKENS:
                        now = limits.amount(call, prompt_tokens, generated)
                        charged = now.tokens
                        spending.hold_back(now)
                        if hold is not None:
                            hold.settle(LimitKind.TOKENS, charged)
                    yield piece
        finally:
            used = self._used(call) if answered else NOTHING
            spending.spend(used)
            if hold is not None:
                hold.settle(LimitKind.TOKENS, used.tokens)

    def _used(self, call: Call) -> BudgetAmount:
        assert call.choices is not None  # noqa: S101 - it has answered
        usage = call.choices.usage
        return self.limits.amount(call, usage.prompt_tokens, usage.completion_tokens)


def _unprepared(call: Call) -> bool:
    return call.ask.prepare is None


def _counted_here(call: Call) -> bool:
    served = call.served_by
    return _unprepared(call) or (served is not None and served.source.startswith("provider:"))


def _longest_text(call: Call) -> int:
    """Tokens, estimated where they are text."""
    sizes = [
        len(text) // CHARACTERS_A_TOKEN if isinstance(text, str) else len(text)
        for text in call.texts
    ]
    return max(sizes, default=0)


def _longest_prompt(call: Call) -> int:
    assert call.choices is not None  # noqa: S101 - stages stand in their order
    return max(len(generation.prompt.ids) for generation in call.choices.generations)
