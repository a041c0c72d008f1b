"""Triton's control APIs, closed to all but those who know a secret.

Loading a model runs its code, so who may load may do anything. Triton takes the secret on its
command line and nowhere else, where every user of the host can read it in ``/proc``: it is
therefore derived from the admin token for this one purpose, and says nothing of the token.
"""

from __future__ import annotations

import hashlib
import hmac

#: What is closed: the index, loading and unloading; memory regions, trace files and log settings.
CLOSED_APIS = ("model-repository", "shared-memory", "trace", "logging")
#: Header of HTTP requests; Triton puts a prefix before that of gRPC calls.
HTTP_HEADER = "enginehouse-control"
GRPC_METADATA = f"triton-grpc-protocol-{HTTP_HEADER}"
_PURPOSE = b"enginehouse triton control 1"


def triton_control_secret(admin_token: str) -> str:
    """The secret that belongs to an admin token, 64 hexadecimal digits."""
    return hmac.new(admin_token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def closing_flags(secret: str) -> list[str]:
    """Arguments of `tritonserver` that close its control APIs."""
    closed = f"{','.join(CLOSED_APIS)}:{HTTP_HEADER}={secret}"
    return [f"--http-restricted-api={closed}", f"--grpc-restricted-protocol={closed}"]


def grpc_metadata(secret: str | None) -> tuple[tuple[str, str], ...]:
    """What a control call carries; nothing without a secret."""
    return () if secret is None else ((GRPC_METADATA, secret),)


def http_headers(secret: str | None) -> dict[str, str]:
    """What a control request carries; nothing without a secret."""
    return {} if secret is None else {HTTP_HEADER: secret}
