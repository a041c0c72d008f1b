"""The metric of attempts at requests, by their ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from enginehouse.api.call import Attempted
from enginehouse.api.metrics import ApiMetrics

from enginehouse.errors import EnginehouseError, RequestCancelledError
from enginehouse.http_errors import status_of

OK = "200"
UNEXPECTED = "500"
#: nginx's number for a client that disconnected; HTTP has none.
CLIENT_GONE = "499"


def code_of(error: BaseException | None) -> str:
    """The status, in metrics and samples, of a block that an error has ended; None is success."""
    if error is None:
        return OK
    if isinstance(error, RequestCancelledError | asyncio.CancelledError | GeneratorExit):
        return CLIENT_GONE
    if isinstance(error, EnginehouseError):
        return str(status_of(error)[0].value)
    return UNEXPECTED


@dataclass(frozen=True, slots=True)
class CountedRequests:
    """Counts each attempt once, by its end."""

    metrics: ApiMetrics

    @asynccontextmanager
    async def enter(self, attempt: Attempted) -> AsyncGenerator[None, None]:
        """See `Watcher`."""
        failure: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failure = error
            raise
        finally:
            served = attempt.call.served_by
            version = attempt.version if served is None else served.version or attempt.version
            labels = (attempt.model, str(version), attempt.call.ask.endpoint, code_of(failure))
            self.metrics.requests.labels(*labels).inc()
