"""API keys as domain values, and their database table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from enginehouse.api.caller import Caller, Role
from enginehouse.gateway.access.secret import ID_CHARACTERS
from enginehouse.gateway.database.database import metadata
from enginehouse.gateway.database.schema import own_tables
from sqlalchemy import JSON, Column, Float, LargeBinary, Row, String, Table

#: Times are in Unix seconds.
KEYS = Table(
    "keys",
    metadata,
    Column("id", String(ID_CHARACTERS), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("previous_digest", LargeBinary(32)),
    Column("previous_until", Float),
    Column("pepper", String(16), nullable=False),
    Column("tenant", String(64), nullable=False, index=True),
    Column("roles", JSON, nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("note", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("rotated_at", Float),
    Column("last_used_at", Float),
)
own_tables("access", __file__, KEYS)


class KeyState(StrEnum):
    """Whether a key is valid."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        models: ``model``, ``model@version`` or either with ``:adapter``; None means all models.
        previous_until: time until which the secret before the last rotation is valid.
        last_used_at: time of the last use, to the minute.
    """

    id: str
    tenant: str
    roles: frozenset[Role]
    models: frozenset[str] | None
    note: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    rotated_at: float | None
    previous_until: float | None
    last_used_at: float | None

    def state(self, now: float) -> KeyState:
        """Its state at a time in Unix seconds."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return KeyState.EXPIRED
        return KeyState.ACTIVE

    @property
    def caller(self) -> Caller:
        """The caller that it authenticates."""
        return Caller(self.tenant, self.id, self.roles, self.models)


@dataclass(frozen=True, slots=True, repr=False)
class StoredKey:
    """A key with the digests that its secrets are compared with.

    Attributes:
        pepper: mark of the pepper that both digests were made with.
    """

    key: ApiKey
    digest: bytes
    previous_digest: bytes | None
    pepper: str


def stored_of(row: Row[Any]) -> StoredKey:
    """Convert a row of the table."""
    key = ApiKey(
        id=row.id,
        tenant=row.tenant,
        roles=frozenset(Role(role) for role in row.roles),
        models=None if row.models is None else frozenset(row.models),
        note=row.note,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        rotated_at=row.rotated_at,
        previous_until=row.previous_until,
        last_used_at=row.last_used_at,
    )
    return StoredKey(key, bytes(row.digest), _bytes(row.previous_digest), row.pepper)


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
