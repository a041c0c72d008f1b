"""Seeing that ports are free before anything starts."""

from __future__ import annotations

import socket

from enginehouse.errors import PortTakenError
from enginehouse.settings import Addresses


def check_ports(addresses: Addresses) -> None:
    """Bind each port once.

    Raises:
        PortTakenError: naming the setting and the number of the first that is taken.
    """
    for variable, port in addresses.ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((addresses.host, port))
            except OSError as error:
                raise PortTakenError(
                    f"port {port} ({variable}) on {addresses.host} is in use: stop what listens "
                    f"there, or set {variable} to a free port"
                ) from error
