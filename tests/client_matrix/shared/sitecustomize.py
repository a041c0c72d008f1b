"""Refuses connections that leave the loopback, in every Python process of a client.

Python imports this module at its start from PYTHONPATH. An audit hook cannot be removed.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Any


def _local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback or host == "0.0.0.0"
    except ValueError:
        return host in {"", "localhost"}


def _see(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"socket.connect", "socket.getaddrinfo"}:
        return
    address = arguments[1] if event == "socket.connect" else arguments[:1]
    host = address[0] if isinstance(address, tuple) else None
    if isinstance(host, bytes):
        host = host.decode("ascii")
    if isinstance(host, str) and not _local(host):
        raise ConnectionRefusedError(f"a client wants to reach {host}")


sys.addaudithook(_see)
