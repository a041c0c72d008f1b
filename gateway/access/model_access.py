"""The stage that restricts a key to its models."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from enginehouse.api.call import Call


class ModelAccess:
    """Rejects models that the caller's key does not allow."""

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[None, None]:
        """See `Watcher`.

        Raises:
            ForbiddenError: naming the models that the key has.
        """
        call.caller.check_model(call.model)
        yield
