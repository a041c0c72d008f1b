"""API keys in the endpoint's database: create, list, rotate, revoke. All methods block."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from enginehouse.gateway.access.records import KEYS, ApiKey, KeyState, StoredKey, stored_of
from enginehouse.gateway.access.request import KeyRequest
from enginehouse.gateway.access.secret import Pepper, new_id, new_key
from enginehouse.gateway.database.database import Database
from sqlalchemy import Connection, insert, or_, select, update

from enginehouse.errors import InvalidRequestError, NotFoundError

#: The time of a key's last use is written at most once in this many seconds.
USE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is shown only once."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.key!r})"


class KeyStore:
    """API keys of all tenants."""

    def __init__(
        self, database: Database, pepper: Pepper, *, now: Callable[[], float] = time.time
    ) -> None:
        """`now` returns Unix seconds."""
        self._database = database
        self._pepper = pepper
        self._now = now

    def create(self, asked: KeyRequest) -> IssuedKey:
        """Create a key.

        Raises:
            StoreError: if the database fails.
        """
        now, key_id = self._now(), new_id()
        text = new_key(key_id)
        row = {
            "id": key_id,
            "digest": self._pepper.digest(text),
            "pepper": self._pepper.mark,
            "tenant": asked.tenant,
            "roles": sorted(asked.roles),
            "models": None if asked.models is None else sorted(asked.models),
            "note": asked.note,
            "created_at": now,
            "expires_at": None if asked.expires_in_s is None else now + asked.expires_in_s,
        }
        with self._database.begin() as connection:
            connection.execute(insert(KEYS).values(row))
            return IssuedKey(_find(connection, key_id).key, text)

    def list(self, tenant: str | None = None) -> list[ApiKey]:
        """Keys, newest first; only those of `tenant` if it is given.

        Raises:
            StoreError: if the database fails.
        """
        query = select(KEYS).order_by(KEYS.c.created_at.desc(), KEYS.c.id)
        if tenant is not None:
            query = query.where(KEYS.c.tenant == tenant)
        with self._database.begin() as connection:
            return [stored_of(row).key for row in connection.execute(query)]

    def find(self, key_id: str) -> ApiKey:
        """One key.

        Raises:
            NotFoundError: if there is no such key.
            StoreError: if the database fails.
        """
        with self._database.begin() as connection:
            return _find(connection, key_id).key

    def rotate(self, key_id: str, grace_s: float) -> IssuedKey:
        """Give a key a new secret; its current secret stays valid for `grace_s` seconds.

        A secret that is still valid from an earlier rotation becomes invalid immediately.

        Raises:
            NotFoundError: if there is no such key.
            InvalidRequestError: if it is revoked or expired.
            StoreError: if the database fails.
        """
        now, text = self._now(), new_key(key_id)
        with self._database.begin() as connection:
            # The row is locked: of two concurrent rotations the second must see the result of the
            # first.
            before = _find(connection, key_id, lock=True)
            state = before.key.state(now)
            if state is not KeyState.ACTIVE:
                raise InvalidRequestError(
                    f"key {key_id} is {state.value}, so it cannot be rotated: create another",
                    field="key_id",
                )
            same_pepper = before.pepper == self._pepper.mark
            values = {
                "digest": self._pepper.digest(text),
                # A digest made with another pepper could never match.
                "previous_digest": before.digest if grace_s > 0 and same_pepper else None,
                "previous_until": now + grace_s if grace_s > 0 and same_pepper else None,
                "pepper": self._pepper.mark,
                "rotated_at": now,
            }
            connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(values))
            return IssuedKey(_find(connection, key_id).key, text)

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke a key permanently. Revoking it again changes nothing.

        Raises:
            NotFoundError: if there is no such key.
            StoreError: if the database fails.
        """
        fresh = (KEYS.c.id == key_id) & KEYS.c.revoked_at.is_(None)
        with self._database.begin() as connection:
            connection.execute(update(KEYS).where(fresh).values(revoked_at=self._now()))
            return _find(connection, key_id).key

    def lookup(self, key_id: str) -> StoredKey | None:
        """The stored key with its digests; None if there is no such key.

        Raises:
            StoreError: if the database fails.
        """
        with self._database.begin() as connection:
            return _lookup(connection, key_id)

    def used(self, key_id: str) -> None:
        """Record that a key is in use, unless an adapter did so less than `USE_EVERY_S` ago.

        Raises:
            StoreError: if the database fails.
        """
        now = self._now()
        stale = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < now - USE_EVERY_S)
        with self._database.begin() as connection:
            connection.execute(
                update(KEYS).where((KEYS.c.id == key_id) & stale).values(last_used_at=now)
            )


def _lookup(connection: Connection, key_id: str, *, lock: bool = False) -> StoredKey | None:
    query = select(KEYS).where(KEYS.c.id == key_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else stored_of(row)


def _find(connection: Connection, key_id: str, *, lock: bool = False) -> StoredKey:
    found = _lookup(connection, key_id, lock=lock)
    if found is None:
        raise NotFoundError(
            f"there is no key {key_id!r}: `enginehouse keys list` shows all", field="key_id"
        )
    return found
