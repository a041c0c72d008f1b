"""How much a tenant may call: rates, budgets, the length of answers, and a fair share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.answer_ceiling import AnswerCeiling
from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.accounting import Accounting, NothingSpent
from enginehouse.gateway.limits.config import LimitsConfig
from enginehouse.gateway.limits.opening import open_limits

from enginehouse.errors import SettingsError


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    config: LimitsConfig = opening.configured
    if config.max_completion_tokens is not None:
        opening.services.offer(AnswerCeiling(config.max_completion_tokens))
    accounting = opening.services.find(Accounting)
    if accounting is None:
        if config.has_budgets:
            raise SettingsError(
                "a budget in the section limits needs the stage ledger, which is not installed"
            )
        accounting = Accounting(NothingSpent())
    limits = open_limits(
        config,
        opening.registry,
        accounting.spending,
        redis_url=opening.settings.endpoint.redis_url,
        price=accounting.price,
    )
    async with limits as opened:
        opening.app.state.limits = opened.requests.limits
        opening.stages.asked.add(60, opened.requests)
        opening.stages.prepared.add(20, opened.tokens)
        opening.stages.prepared.add(30, opened.turns)
        yield


def _surface(surface: Surface) -> None:
    from enginehouse.gateway.limits.refused_bodies import RefusedBodies

    surface.inner_middleware.append(RefusedBodies)


registration = Registration("limits", 60, _open, LimitsConfig, _surface)
