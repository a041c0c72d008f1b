"""Restricts Triton's control APIs to clients that know a secret.

Loading a model runs its code, so access to the control APIs means full access. Triton accepts the
secret only on its command line, which every user of the host can read in ``/proc``. The secret is
therefore derived from the admin token for this purpose only, and does not reveal the token.
"""

from __future__ import annotations

import hashlib
import hmac

#: Restricted APIs: model index, load and unload; shared memory; trace files; log settings.
CLOSED_APIS = ("model-repository", "shared-memory", "trace", "logging")
#: Header of HTTP requests; for gRPC calls Triton adds a prefix.
HTTP_HEADER = "enginehouse-control"
GRPC_METADATA = f"triton-grpc-protocol-{HTTP_HEADER}"
_PURPOSE = b"enginehouse triton control 1"


def triton_control_secret(admin_token: str) -> str:
    """Derive the secret from an admin token; 64 hexadecimal digits."""
    return hmac.new(admin_token.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def closing_flags(secret: str) -> list[str]:
    """Arguments of `tritonserver` that restrict its control APIs."""
    closed = f"{','.join(CLOSED_APIS)}:{HTTP_HEADER}={secret}"
    return [f"--http-restricted-api={closed}", f"--grpc-restricted-protocol={closed}"]


def grpc_metadata(secret: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a control call; empty without a secret."""
    return () if secret is None else ((GRPC_METADATA, secret),)


def http_headers(secret: str | None) -> dict[str, str]:
    """Headers of a control request; empty without a secret."""
    return {} if secret is None else {HTTP_HEADER: secret}
