"""Enginehouse itself, started by `enginehouse up` with a private home and default settings."""

from __future__ import annotations

from collections.abc import Mapping

from enginehouse.build.default_checkpoint import DEFAULT_MODEL
from enginehouse.perf.peers.peer import Dialect, Launch, Place, SideRole
from enginehouse.perf.ports import free_ports

_OTHER_PORTS = ("TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS", "CONTROLLER")


class Ours:
    """See `Peer`."""

    name = "enginehouse"
    title = "Enginehouse, whole path"
    kind = SideRole.OURS
    package = "enginehouse"
    own_environment = False
    install_env: Mapping[str, str] = {}
    unwanted: tuple[str, ...] = ()

    def launch(self, place: Place) -> Launch:
        """See `Peer.launch`: `enginehouse up`."""
        env = {"ENGINEHOUSE_HOME": str(place.home), "ENGINEHOUSE_API_PORT": str(place.port)}
        for name, port in zip(_OTHER_PORTS, free_ports(len(_OTHER_PORTS)), strict=True):
            env[f"ENGINEHOUSE_{name}_PORT"] = str(port)
        return Launch((str(place.python), "-m", "enginehouse", "up"), "/health/ready", env)

    def dialect(self, place: Place) -> Dialect:  # noqa: ARG002 - part of the protocol
        """See `Peer.dialect`: it supports ``ignore_eos``."""
        return Dialect(DEFAULT_MODEL, {"ignore_eos": True})
