"""Checks that ports are free before anything is started."""

from __future__ import annotations

import socket

from enginehouse.errors import PortTakenError
from enginehouse.settings import REPLICA_PORT_STEP, Addresses


def check_ports(addresses: Addresses) -> None:
    """Bind each port once to check that it is free.

    Raises:
        PortTakenError: names the setting and number of the first port that is in use.
    """
    for variable, port in addresses.ports.items():
        _check(addresses.host, port, variable, f"set {variable} to a free port")


def check_replica_ports(addresses: Addresses, index: int) -> None:
    """The same for the Triton ports of another replica.

    Raises:
        PortTakenError: names the setting and number of the first port that is in use.
    """
    for variable, port in addresses.ports.items():
        if "TRITON" in variable:
            shift = index * REPLICA_PORT_STEP
            name = f"{variable} + {shift}, replica {index}"
            _check(addresses.host, port, name, f"set {variable} to another port")


def _check(host: str, port: int, what: str, way_out: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} ({what}) on {host} is in use: stop what listens there, or {way_out}"
            ) from error
