"""The admin token: shared by the controller, the adapter's internal routes and the CLI."""

from __future__ import annotations

import hmac

from enginehouse.errors import UnauthenticatedError
from enginehouse.secret_files import ensure_secret_file
from enginehouse.settings import Settings

_SCHEME = "bearer"


def ensure_admin_token(settings: Settings) -> str:
    """Return the token; the first caller creates it, all others read it.

    Raises:
        SettingsError: if the file holds no usable token, or cannot be read or written.
    """
    return ensure_secret_file(settings.admin_token_path, "the admin token")


def is_admin_token(authorization: str | None, token: str) -> bool:
    """Whether an `Authorization` header carries the token."""
    scheme, _, given = (authorization or "").partition(" ")
    # A constant-time comparison reveals nothing about the token.
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == _SCHEME


def check_admin_token(authorization: str | None, token: str) -> None:
    """Raise unless an `Authorization` header carries the token.

    Raises:
        UnauthenticatedError: if it does not.
    """
    if not is_admin_token(authorization, token):
        raise UnauthenticatedError(
            "this route needs the admin token: Authorization: Bearer <content of admin.token>"
        )
