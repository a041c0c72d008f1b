"""Format of API keys, and the hash that is stored of them.

A key is ``eh_<id>_<secret>``. The id is public: it finds the record, and names the key in lists
and logs. Only a keyed hash of the whole key is stored. The secret is random and long, so a fast
hash is enough. Without the pepper a copy of the database does not even allow guesses to be checked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from enginehouse.secret_files import ensure_secret_file
from enginehouse.settings import Settings

ID_CHARACTERS = 12
_SECRET_BYTES = 32
_KEY = re.compile(rf"eh_(?P<id>[0-9a-f]{{{ID_CHARACTERS}}})_[A-Za-z0-9_-]{{43,86}}")


def new_id() -> str:
    """A random id, unique in practice."""
    return secrets.token_hex(ID_CHARACTERS // 2)


def new_key(key_id: str) -> str:
    """A complete key for an id; it is not stored anywhere."""
    return f"eh_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(key: str) -> str | None:
    """The id in a key; None if the text does not have the format of a key."""
    found = _KEY.fullmatch(key)
    return None if found is None else found["id"]


@dataclass(frozen=True, slots=True, repr=False)
class Pepper:
    """The secret with which keys are hashed; it is never stored in the database."""

    secret: bytes

    @classmethod
    def of(cls, settings: Settings) -> Pepper:
        """Read the endpoint's pepper, and create it on first use. Blocks.

        Raises:
            SettingsError: if its file cannot be used.
        """
        path = settings.keys_pepper_path
        return cls(ensure_secret_file(path, "the pepper of the keys").encode())

    @property
    def mark(self) -> str:
        """An identifier of the pepper that does not reveal it: 16 hexadecimal digits."""
        return self._hash(b"mark").hex()[:16]

    def digest(self, key: str) -> bytes:
        """The hash that is stored for a key, 32 bytes."""
        return self._hash(b"key:" + key.encode())

    def _hash(self, message: bytes) -> bytes:
        return hmac.new(self.secret, message, hashlib.sha256).digest()
