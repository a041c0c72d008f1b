"""The SQL database that stages keep their records in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening
from enginehouse.gateway.database.database import Database


async def shared_database(opening: Opening) -> Database:
    """The database of the adapter's stages; it is closed with the application.

    Raises:
        StoreError: if it cannot be opened.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        database = await asyncio.to_thread(Database, opening.settings.database_url)
        try:
            yield database
        finally:
            database.close()

    return await opening.services.shared(Database, opened)
