"""Files that hold one secret: made on first use, readable by their owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from enginehouse.errors import SettingsError

_BYTES = 32
_SHORTEST = 16


def ensure_secret_file(path: Path, what: str) -> str:
    """The secret; whoever comes first makes it, all others read it. Blocks.

    Args:
        what: its name in messages, for example ``the admin token``.

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
    """A whole file of mode 0600 or none; one that is there already stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails where a rename would replace the secret of who was faster.
        path.hardlink_to(scratch)
    except FileExistsError:
        return
    finally:
        scratch.unlink()
