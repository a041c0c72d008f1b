"""Secret files: created on first use, readable only by their owner."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from enginehouse.errors import SettingsError

_BYTES = 32
_SHORTEST = 16


def ensure_secret_file(path: Path, what: str) -> str:
    """Return the secret; the first caller creates it, all others read it. Blocking.

    Args:
        what: name in messages, for example ``the admin token``.

    Raises:
        SettingsError: if the file holds no usable secret, or cannot be read or written.
    """
    try:
        if not path.exists():
            _create(path)
        secret = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {what} cannot be used: {error}") from error
    if len(secret) < _SHORTEST:
        raise SettingsError(
            f"{path}: {what} is shorter than {_SHORTEST} characters; delete the file, "
            "and a new one is made"
        )
    return secret


def _create(path: Path) -> None:
    """Create a complete file with mode 0600 atomically; keeps an existing one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails if the file exists; a rename would replace another process's secret.
        path.hardlink_to(scratch)
    except FileExistsError:
        return
    finally:
        scratch.unlink()
