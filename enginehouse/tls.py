"""What httpx checks servers against, made once a process.

httpx reads all authorities anew for each client, and for each request that is made without one:
0.04 s of CPU, though the address is plain HTTP. `up` took a third of a start for that.
"""

from __future__ import annotations

import ssl
from functools import cache

import httpx


def tls_context(url: str) -> ssl.SSLContext:
    """The `verify` for requests to `url` that take nothing from the environment.

    That of plain HTTP knows no authority: whatever would lead such a client to HTTPS fails.
    """
    return _of_nobody() if url.startswith("http://") else _of_authorities()


@cache
def _of_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _of_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
