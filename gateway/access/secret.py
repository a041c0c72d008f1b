"""What a key looks like, and what is kept of it.

A key is ``eh_<id>_<secret>``. The id is public: it finds the record, and names the key in lists
and logs. Of the whole only a keyed hash is kept; the secret is random and long, so a fast hash
is enough, and without the pepper the database alone allows not even a guess to be checked.
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
    """An id that is taken by nobody else."""
    return secrets.token_hex(ID_CHARACTERS // 2)


def new_key(key_id: str) -> str:
    """A key for an id; this is the only time that it is there whole."""
    return f"eh_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def id_of(key: str) -> str | None:
    """The id in a key; None if it is no key of ours."""
    found = _KEY.fullmatch(key)
    return None if found is None else found["id"]


@dataclass(frozen=True, slots=True, repr=False)
class Pepper:
    """The secret under which keys are hashed; it never lies in the database."""

    secret: bytes

    @classmethod
    def of(cls, settings: Settings) -> Pepper:
        """That of this endpoint, made on first use. Blocks.

        Raises:
            SettingsError: if its file cannot be used.
        """
        path = settings.keys_pepper_path
        return cls(ensure_secret_file(path, "the pepper of the keys").encode())

    @property
    def mark(self) -> str:
        """Tells peppers apart and says nothing of them, 16 hexadecimal digits."""
        return self._hash(b"mark").hex()[:16]

    def digest(self, key: str) -> bytes:
        """What is kept of a key, 32 bytes."""
        return self._hash(b"key:" + key.encode())

    def _hash(self, message: bytes) -> bytes:
        return hmac.new(self.secret, message, hashlib.sha256).digest()
