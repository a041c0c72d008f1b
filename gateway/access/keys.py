"""Keys in the endpoint's database: created, listed, rotated, revoked. All of it blocks."""

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

#: The time of a key's last use is written at most once in this time.
USE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, shown this once."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.key!r})"


class KeyStore:
    """Keys of all tenants."""

    def __init__(
        self, database: Database, pepper: Pepper, *, now: Callable[[], float] = time.time
    ) -> None:
        """`now` gives Unix seconds."""
        self._database = database
        self._pepper = pepper
        self._now = now

    def create(self, asked: KeyRequest) -> IssuedKey:
        """Make a key.

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
        """Keys, newest first; of one tenant if it is given.

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
            NotFoundError: if there is none.
            StoreError: if the database fails.
        """
        with self._database.begin() as connection:
            return _find(connection, key_id).key

    def rotate(self, key_id: str, grace_s: float) -> IssuedKey:
        """Give a key a new secret; the one it has stays valid for `grace_s` seconds.

        One that an earlier rotation has left valid ends at once.

        Raises:
            NotFoundError: if there is no such key.
            InvalidRequestError: if it is revoked or expired.
            StoreError: if the database fails.
        """
        now, text = self._now(), new_key(key_id)
        with self._database.begin() as connection:
            # Two rotations at once: the second must see what the first has made.
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
                # A digest under another pepper could never match.
                "previous_digest": before.digest if grace_s > 0 and same_pepper else None,
                "previous_until": now + grace_s if grace_s > 0 and same_pepper else None,
                "pepper": self._pepper.mark,
                "rotated_at": now,
            }
            connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(values))
            return IssuedKey(_find(connection, key_id).key, text)

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good; one that is revoked already stays so.

        Raises:
            NotFoundError: if there is no such key.
            StoreError: if the database fails.
        """
        fresh = (KEYS.c.id == key_id) & KEYS.c.revoked_at.is_(None)
        with self._database.begin() as connection:
            connection.execute(update(KEYS).where(fresh).values(revoked_at=self._now()))
            return _find(connection, key_id).key

    def lookup(self, key_id: str) -> StoredKey | None:
        """What a key is checked against; None if there is no such key.

        Raises:
            StoreError: if the database fails.
        """
        with self._database.begin() as connection:
            return _lookup(connection, key_id)

    def used(self, key_id: str) -> None:
        """Write down that a key is in use now, unless some adapter has just done so.

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
