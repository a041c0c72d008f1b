"""The secret that the controller, the adapter's internal routes and the command line share."""

from __future__ import annotations

import hmac

from enginehouse.errors import UnauthenticatedError
from enginehouse.secret_files import ensure_secret_file
from enginehouse.settings import Settings

_SCHEME = "bearer"


def ensure_admin_token(settings: Settings) -> str:
    """The token, made on first use; whoever comes first makes it, all others read it.

    Raises:
        SettingsError: if the file holds no usable token, or cannot be read or written.
    """
    return ensure_secret_file(settings.admin_token_path, "the admin token")


def is_admin_token(authorization: str | None, token: str) -> bool:
    """Whether a header `Authorization` carries the token."""
    scheme, _, given = (authorization or "").partition(" ")
    # Both are compared in full: how long it takes says nothing about the secret.
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return same and scheme.lower() == _SCHEME


def check_admin_token(authorization: str | None, token: str) -> None:
    """Do nothing if a header `Authorization` carries the token.

    Raises:
        UnauthenticatedError: if it does not.
    """
    if not is_admin_token(authorization, token):
        raise UnauthenticatedError(
            "this route needs the admin token: Authorization: Bearer <content of admin.token>"
        )
