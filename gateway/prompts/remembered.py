"""A cache with expiry for values of the registry."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from enginehouse.errors import RegistryError

_log = logging.getLogger(__name__)
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[_V]):
    value: _V
    at: float


class RefreshingCache(Generic[_K, _V]):
    """Loads values again after their expiry; if that fails, the old value stays valid."""

    def __init__(
        self,
        load: Callable[[_K], _V],
        *,
        ttl_s: float,
        timeout_s: float,
        most_kept: int,
        forever: Callable[[_K, _V], bool] = lambda _key, _value: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` may block and raise RegistryError; it runs in a thread.

        Args:
            ttl_s: how long a value is valid, in seconds.
            timeout_s: how long a call waits for a value, in seconds.
            most_kept: most values in memory; the least recently used one is evicted first.
            forever: whether a value never changes.
        """
        self._load = load
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._most_kept = most_kept
        self._forever = forever
        self._clock = clock
        self._kept: OrderedDict[_K, _Kept[_V]] = OrderedDict()
        self._loading: dict[_K, asyncio.Task[_V]] = {}

    async def get(self, key: _K) -> _V:
        """The value of a key.

        Raises:
            RegistryError: if it cannot be loaded and is not cached.
        """
        kept = self._kept.get(key)
        if kept is None or not self._holds(key, kept):
            return await self._renewed(key, kept)
        self._kept.move_to_end(key)
        return kept.value

    def _holds(self, key: _K, kept: _Kept[_V]) -> bool:
        return self._forever(key, kept.value) or self._clock() - kept.at < self._ttl_s

    async def _renewed(self, key: _K, kept: _Kept[_V] | None) -> _V:
        """Concurrent callers share one load; a cancelled caller does not cancel it."""
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(asyncio.to_thread(self._load, key))
            task.add_done_callback(lambda done: self._loaded(key, done))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(task)
        except TimeoutError:
            error = RegistryError("the registry does not answer in time: try again later")
        except RegistryError as refused:
            error = refused
        if kept is None:
            raise error
        _log.warning("the registry does not answer: %s stays as it was", key)
        self._keep(key, kept.value)
        return kept.value

    def _loaded(self, key: _K, task: asyncio.Task[_V]) -> None:
        del self._loading[key]
        if not task.cancelled() and task.exception() is None:
            self._keep(key, task.result())

    def _keep(self, key: _K, value: _V) -> None:
        self._kept[key] = _Kept(value, self._clock())
        self._kept.move_to_end(key)
        while len(self._kept) > self._most_kept:
            self._kept.popitem(last=False)
