"""API keys as the admin API and the command line show them."""

from __future__ import annotations

from typing import Any, Literal

from enginehouse.api.caller import Role
from enginehouse.gateway.access.keys import IssuedKey
from enginehouse.gateway.access.records import ApiKey, KeyState
from pydantic import BaseModel, ConfigDict


class KeyView(BaseModel):
    """A key without its secret.

    Attributes:
        models: None means all.
        created_at, expires_at, revoked_at, rotated_at: Unix seconds.
        previous_until: Unix seconds until which the secret before the last rotation is valid.
        last_used_at: Unix seconds, to the minute.
    """

    model_config = ConfigDict(extra="forbid")

    object: Literal["key"] = "key"
    id: str
    tenant: str
    roles: list[Role]
    models: list[str] | None
    note: str
    state: KeyState
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    rotated_at: float | None
    previous_until: float | None
    last_used_at: float | None

    @classmethod
    def of(cls, key: ApiKey, now: float) -> KeyView:
        """The view of a key at a time in Unix seconds."""
        return cls(**_fields(key, now))


class IssuedKeyView(KeyView):
    """A key with its secret, which is shown only once."""

    key: str

    @classmethod
    def issued(cls, issued: IssuedKey, now: float) -> IssuedKeyView:
        """The view of a new or rotated key at a time in Unix seconds."""
        return cls(**_fields(issued.key, now), key=issued.text)


class KeyList(BaseModel):
    """Keys, newest first."""

    object: Literal["list"] = "list"
    data: list[KeyView]


def _fields(key: ApiKey, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "roles": sorted(key.roles),
        "models": None if key.models is None else sorted(key.models),
        "note": key.note,
        "state": key.state(now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "rotated_at": key.rotated_at,
        "previous_until": key.previous_until,
        "last_used_at": key.last_used_at,
    }
