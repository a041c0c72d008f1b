"""The connection to Redis: scripts that a call awaits, and writes in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from enginehouse.errors import StoreError
from enginehouse.supervision import start_loop

_log = logging.getLogger(__name__)
_CONNECTIONS = 32
_BATCH = 256
_Step = tuple[str, str, Sequence[Any]]
ZREM = "ZREM"
#: Renewals during one lease, so that a failed one does not end it.
RENEWALS = 3


class RedisSteps:
    """All operations of limits on Redis; writes keep their order."""

    def __init__(self, url: str, *, timeout_s: float, failed: Callable[[], None]) -> None:
        """Create the client, in the running event loop. Nothing is sent yet.

        Args:
            failed: called for each background write that failed.

        Raises:
            ValueError: if the URL is not a Redis URL.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis(connection_pool=pool)
        self._timeout_s = timeout_s
        self._failed = failed
        self._steps: asyncio.Queue[_Step] = asyncio.Queue()
        self._writing = start_loop("limits-write", self._write)

    def script(self, text: str) -> Any:
        """Register a script for `ask`."""
        return self._redis.register_script(text)

    async def ask(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> list[int]:
        """Run a script and wait for its answer.

        Raises:
            StoreError: if Redis does not answer in time. The script may have run nevertheless.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return [int(value) for value in await script(keys=keys, args=args)]
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"the shared limits' Redis does not answer: {error!r}") from error

    def later(self, what: str, key: str, arguments: Sequence[Any]) -> None:
        """Queue a script on one key, or a `ZREM`, for the background writer."""
        self._steps.put_nowait((what, key, arguments))

    async def answers(self) -> bool:
        """Whether Redis answers in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._redis.eval("return 1", 0)
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    async def drained(self) -> None:
        """Wait until every queued write has been attempted."""
        await self._steps.join()

    async def close(self) -> None:
        """Write what is queued, within a bounded time, and close the connections."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5 * self._timeout_s):
                await self.drained()
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self._redis.aclose()

    async def _write(self) -> None:
        while True:
            steps = [await self._steps.get()]
            while len(steps) < _BATCH and not self._steps.empty():
                steps.append(self._steps.get_nowait())
            await self._send(steps)
            for _ in steps:
                self._steps.task_done()

    async def _send(self, steps: Sequence[_Step]) -> None:
        """Write a batch; it is not repeated if it fails.

        After a failure counts stay too high until their window ends, and leases until they expire.
        """
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for what, key, arguments in steps:
                        if what == ZREM:
                            pipe.zrem(key, *arguments)
                        else:
                            pipe.eval(what, 1, key, *arguments)
                    await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed()
            _log.debug("%d steps of shared limits were lost: %r", len(steps), error)
