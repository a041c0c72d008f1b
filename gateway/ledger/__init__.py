"""The usage ledger: what calls used, what that costs, and reports of both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration, Surface
from enginehouse.gateway.database import shared_database
from enginehouse.gateway.ledger.config import LedgerConfig


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    from enginehouse.gateway.accounting import Accounting
    from enginehouse.gateway.ledger.ledger import open_ledger
    from enginehouse.gateway.ledger.stage import UsageLedger

    config: LedgerConfig = opening.configured
    database = await shared_database(opening)
    directory = opening.settings.ledger_dir
    async with open_ledger(database, config, directory, opening.registry) as ledger:
        opening.app.state.ledger = ledger if config.enabled else None
        price = ledger.price if config.enabled else None
        opening.services.offer(Accounting(ledger.spending, price))
        if config.enabled:
            opening.stages.asked.add(30, UsageLedger(ledger))
        yield


def _surface(surface: Surface) -> None:
    from enginehouse.gateway.ledger import routes

    surface.routers.append(routes.router)


registration = Registration("ledger", 30, _open, LedgerConfig, _surface)
