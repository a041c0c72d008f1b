"""The secret that the controller, the adapter's internal routes and the command line share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings

_BYTES = 32
_SHORTEST = 16


def ensure_admin_token(settings: Settings) -> str:
    """The token, made on first use; whoever comes first makes it, all others read it.

    Raises:
        SettingsError: if the file holds no usable token, or cannot be read or written.
    """
    path = settings.admin_token_path
    try:
        if not path.exists():
            _create(path)
        token = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path}: the admin token cannot be used: {error}") from error
    if len(token) < _SHORTEST:
        raise SettingsError(
            f"{path}: the admin token is shorter than {_SHORTEST} characters; delete the file, "
            "and a new one is made"
        )
    return token


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
        # A link fails where a rename would replace the token of who was faster.
        path.hardlink_to(scratch)
    except FileExistsError:
        return
    finally:
        scratch.unlink()
