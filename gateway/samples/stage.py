"""The stage that keeps a sample of each attempt at a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enginehouse.api.call import Attempted
from enginehouse.api.counted_requests import code_of
from enginehouse.api.stage import See
from enginehouse.gateway.observing import Observers
from enginehouse.gateway.samples.account import Account
from enginehouse.gateway.samples.ring import SampleRing


@dataclass(frozen=True, slots=True)
class Samples:
    """Records each attempt, and has it observed."""

    ring: SampleRing
    observers: Observers

    @asynccontextmanager
    async def enter(self, attempt: Attempted) -> AsyncGenerator[See, None]:
        """See `Watcher`."""
        account = Account(attempt, self.ring, self.observers.begin(attempt))
        failure: BaseException | None = None
        try:
            yield account.see
        except BaseException as error:
            failure = error
            raise
        finally:
            account.close(code_of(failure))
