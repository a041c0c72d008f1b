"""A cache of API keys, so that requests rarely wait for the database."""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from enginehouse.api.caller import Caller
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.keys import USE_EVERY_S
from enginehouse.gateway.access.records import ApiKey, KeyState, StoredKey
from enginehouse.gateway.access.secret import Pepper, id_of

from enginehouse.errors import StoreError, UnauthenticatedError

_log = logging.getLogger(__name__)
_MOST_HELD = 10_000
# Invented key ids must not occupy every thread of the process.
_READS_AT_ONCE = 4
_DIGEST_BYTES = 32


class KeySource(Protocol):
    """Source of a keyring, see `KeyStore`; both methods block."""

    def lookup(self, key_id: str) -> StoredKey | None:
        """The stored key with its digests; None if there is no such key."""
        ...

    def used(self, key_id: str) -> None:
        """Record that a key is in use."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    """A cached lookup; `stored` is None if the id does not exist."""

    stored: StoredKey | None
    read_at: float


class Keyring:
    """Authenticates callers by key. Use it on one event loop only."""

    def __init__(
        self,
        keys: KeySource,
        pepper: Pepper,
        config: AccessConfig,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now` returns Unix seconds; `monotonic` returns seconds for measuring ages."""
        self._keys = keys
        self._pepper = pepper
        self._config = config
        self._now = now
        self._monotonic = monotonic
        self._nothing = secrets.token_bytes(_DIGEST_BYTES)
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._reading: dict[str, asyncio.Task[StoredKey | None]] = {}
        self._used_at: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._room = asyncio.Semaphore(_READS_AT_ONCE)

    async def caller(self, text: str) -> Caller:
        """The caller to whom a key belongs.

        Raises:
            UnauthenticatedError: if the key is unknown, revoked or expired.
            StoreError: if the key is not cached and the database fails.
        """
        key_id = id_of(text)
        arrived = self._monotonic()
        stored = None if key_id is None else await self._stored(key_id)
        matches = self._matches(text, stored)
        if stored is not None and not matches and self._held_before(stored.key.id, arrived):
            # Another adapter may have rotated the key since it was read.
            stored = await asyncio.shield(self._read(stored.key.id))
            matches = self._matches(text, stored)
        if stored is None or not matches:
            raise UnauthenticatedError(
                "this API key is not valid: it is unknown, or its secret has been replaced"
            )
        self._refuse_ended(stored.key)
        self._use(stored.key.id)
        return stored.key.caller

    async def still(self, caller: Caller) -> Caller:
        """The same caller with its current permissions, for work that continues in the background.

        Raises:
            UnauthenticatedError: if the key was revoked, has expired or was deleted.
            StoreError: if the key is not cached and the database fails.
        """
        if caller.key_id is None:
            return caller
        stored = await self._stored(caller.key_id)
        if stored is None:
            raise UnauthenticatedError(
                "the API key of this batch was deleted: create the batch again with another key"
            )
        self._refuse_ended(stored.key)
        return stored.key.caller

    def forget(self, key_id: str) -> None:
        """Drop a key from the cache, because this adapter has changed it."""
        self._held.pop(key_id, None)
        # A read in progress may return the old state, so new requests must not wait for it.
        self._reading.pop(key_id, None)

    async def close(self) -> None:
        """Wait for pending reads and writes."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _matches(self, text: str, stored: StoredKey | None) -> bool:
        """Whether the text is the key.

        For an unknown id a dummy digest is compared, in equal time.
        """
        given = self._pepper.digest(text)
        digest = self._nothing if stored is None else stored.digest
        previous = self._nothing if stored is None else stored.previous_digest or self._nothing
        until = 0.0 if stored is None else stored.key.previous_until or 0.0
        is_current = hmac.compare_digest(given, digest)
        is_previous = hmac.compare_digest(given, previous)
        return is_current or (is_previous and self._now() < until)

    def _refuse_ended(self, key: ApiKey) -> None:
        match key.state(self._now()):
            case KeyState.REVOKED:
                raise UnauthenticatedError("this API key was revoked: ask for another")
            case KeyState.EXPIRED:
                assert key.expires_at is not None  # noqa: S101 - that is what expired means
                at = datetime.fromtimestamp(key.expires_at, UTC)
                raise UnauthenticatedError(f"this API key expired at {at:%Y-%m-%dT%H:%M:%SZ}")

    def _held_before(self, key_id: str, moment: float) -> bool:
        held = self._held.get(key_id)
        return held is not None and held.read_at < moment

    async def _stored(self, key_id: str) -> StoredKey | None:
        held = self._held.get(key_id)
        age_s = math.inf if held is None else self._monotonic() - held.read_at
        if held is not None and age_s < self._config.refresh_after_s:
            return held.stored
        reading = self._read(key_id)
        if held is not None and age_s < self._config.use_within_s:
            return held.stored
        # The read is shielded, because other requests may wait for the same result.
        return await asyncio.shield(reading)

    def _read(self, key_id: str) -> asyncio.Task[StoredKey | None]:
        reading = self._reading.get(key_id)
        if reading is None:
            reading = self._reading[key_id] = self._begin(self._read_now(key_id))
        return reading

    async def _read_now(self, key_id: str) -> StoredKey | None:
        try:
            async with self._room:
                read_at = self._monotonic()
                stored = await asyncio.to_thread(self._keys.lookup, key_id)
            self._complain_of_pepper(stored)
            if self._reading.get(key_id) is asyncio.current_task():
                self._hold(key_id, _Held(stored, read_at))
            return stored
        finally:
            if self._reading.get(key_id) is asyncio.current_task():
                del self._reading[key_id]

    def _complain_of_pepper(self, stored: StoredKey | None) -> None:
        if stored is not None and stored.pepper != self._pepper.mark:
            _log.error(
                "key %s was made under another pepper: give all adapters and the command line the "
                "same ENGINEHOUSE_KEYS_PEPPER_FILE, or rotate the key",
                stored.key.id,
            )

    def _hold(self, key_id: str, held: _Held) -> None:
        self._held[key_id] = held
        self._held.move_to_end(key_id)
        if len(self._held) > _MOST_HELD:
            self._held.popitem(last=False)

    def _use(self, key_id: str) -> None:
        now = self._monotonic()
        if now - self._used_at.get(key_id, -math.inf) >= USE_EVERY_S:
            self._used_at[key_id] = now
            self._begin(asyncio.to_thread(self._keys.used, key_id))

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            # Requests that waited for this read report the error themselves.
            _log.warning("keys: %s", error)
        elif error is not None:
            _log.error("keys: unexpected error", exc_info=error)
