"""TLS contexts for httpx, created once for each process.

httpx loads all certificate authorities for each new client, and for each request without a client:
0.04 s of CPU, even for plain HTTP. That was a third of the start time of `up`.
"""

from __future__ import annotations

import ssl
from functools import cache

import httpx


def tls_context(url: str) -> ssl.SSLContext:
    """The `verify` argument for requests to `url` that ignore the environment.

    The context for plain HTTP trusts no authority, so a redirect to HTTPS fails.
    """
    return _of_nobody() if url.startswith("http://") else _of_authorities()


@cache
def _of_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _of_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
