"""Discovery of a fleet's replicas: a list, a DNS name or a Kubernetes service.

``ENGINEHOUSE_FLEET`` takes one of three forms::

    127.0.0.1:8001,127.0.0.1:8011:8012      gRPC port, and optionally the metrics port (8002)
    dns:triton.internal:8001                every address of the name
    kubernetes:serving/triton:8001          the ready endpoints of a service
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import httpx
from enginehouse.client.kubernetes import KubernetesApi

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings

_log = logging.getLogger(__name__)
_METRICS_PORT = 8002
_MAX_PORT = 65535
_ENTRY = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^:\s]+):(?P<grpc>\d+)(?::(?P<metrics>\d+))?")
_DNS = re.compile(r"dns:(?P<host>[^:\s]+):(?P<port>\d+)")
_KUBERNETES = re.compile(
    r"kubernetes:(?P<namespace>[a-z0-9-]+)/(?P<service>[a-z0-9-]+):(?P<port>\d+)"
)
_FORMS = (
    "give host:port of each Triton's gRPC port, as in 127.0.0.1:8001,127.0.0.1:8011, or "
    "dns:host:port, or kubernetes:namespace/service:port"
)


@dataclass(frozen=True, slots=True)
class Replica:
    """One Triton server.

    Attributes:
        name: stable as long as it is the same server; for logs and metrics.
        grpc: ``host:port`` of its gRPC port.
        metrics_url: URL of its Prometheus metrics, or None.
    """

    name: str
    grpc: str
    metrics_url: str | None = None


class Discovery(Protocol):
    """Returns the current replicas; may block briefly, never raises."""

    def replicas(self) -> tuple[Replica, ...]:
        """The replicas, each once."""
        ...


class StaticDiscovery:
    """A fixed list of replicas."""

    def __init__(self, replicas: tuple[Replica, ...]) -> None:
        self._replicas = replicas

    def replicas(self) -> tuple[Replica, ...]:
        """The replicas given at construction."""
        return self._replicas


class LookupDiscovery:
    """Looks up the replicas each time; keeps the last known list if a lookup fails."""

    def __init__(self, what: str, lookup: Callable[[], tuple[Replica, ...]]) -> None:
        """`what` names the source in the log; `lookup` may raise OSError or `httpx.HTTPError`."""
        self._what = what
        self._lookup = lookup
        self._known: tuple[Replica, ...] = ()
        self._failing = False

    def replicas(self) -> tuple[Replica, ...]:
        """The replicas of the last successful lookup."""
        try:
            self._known = self._lookup()
        # Invalid or unexpected JSON counts as a failed lookup.
        except (OSError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            if not self._failing:
                kept = len(self._known)
                _log.warning("%s: no answer, %d replicas are kept: %r", self._what, kept, error)
            self._failing = True
            return self._known
        if self._failing:
            _log.warning("%s: answers again, %d replicas", self._what, len(self._known))
        self._failing = False
        return self._known


def discovery_of(settings: Settings) -> Discovery:
    """The discovery that the settings select; without `fleet`, the local replicas.

    Raises:
        SettingsError: if ``ENGINEHOUSE_FLEET`` has none of the three forms.
    """
    if settings.fleet is None:
        return StaticDiscovery(
            tuple(
                Replica(f"replica-{index}", at.triton_grpc_url, at.triton_metrics_url)
                for index, at in enumerate(settings.replica_addresses)
            )
        )
    return parse_fleet(settings.fleet)


def parse_fleet(text: str, kubernetes: KubernetesApi | None = None) -> Discovery:
    """Parse a value of ``ENGINEHOUSE_FLEET``.

    Args:
        kubernetes: None uses the API of the cluster that this process runs in.

    Raises:
        SettingsError: names the variable, its value and the accepted forms.
    """
    text = text.strip()
    if text.startswith("dns:"):
        found = _matched(_DNS, text, text)
        host, port = found["host"], _port(found["port"], text)
        return LookupDiscovery(text, lambda: resolve(host, port))
    if text.startswith("kubernetes:"):
        found = _matched(_KUBERNETES, text, text)
        api = kubernetes or KubernetesApi.of_this_pod()
        namespace, service = found["namespace"], found["service"]
        port = _port(found["port"], text)
        return LookupDiscovery(text, lambda: _endpoints(api, namespace, service, port))
    return StaticDiscovery(_listed(text))


def resolve(host: str, port: int) -> tuple[Replica, ...]:
    """A replica for each A and AAAA address of a name.

    Raises:
        OSError: if the name has no address, or DNS does not answer.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(_replica(address, port) for address in sorted({str(e[4][0]) for e in found}))


def _endpoints(api: KubernetesApi, namespace: str, service: str, port: int) -> tuple[Replica, ...]:
    ready = api.ready_endpoints(namespace, service)
    return tuple(_replica(address, port, name=name) for name, address in ready)


def _listed(text: str) -> tuple[Replica, ...]:
    replicas: dict[str, Replica] = {}
    for entry in text.split(","):
        found = _matched(_ENTRY, entry.strip(), text)
        metrics_port = _port(found["metrics"], text) if found["metrics"] else _METRICS_PORT
        host = found["host"].strip("[]")
        replica = _replica(host, _port(found["grpc"], text), metrics_port)
        if replica.grpc in replicas:
            raise SettingsError(f"ENGINEHOUSE_FLEET={text!r}: {replica.grpc} is given twice")
        replicas[replica.grpc] = replica
    return tuple(replicas.values())


def _replica(
    host: str, port: int, metrics_port: int = _METRICS_PORT, *, name: str | None = None
) -> Replica:
    shown = f"[{host}]" if ":" in host else host
    address = f"{shown}:{port}"
    return Replica(name or address, address, f"http://{shown}:{metrics_port}/metrics")


def _matched(pattern: re.Pattern[str], entry: str, text: str) -> re.Match[str]:
    found = pattern.fullmatch(entry)
    if found is None:
        where = "" if entry == text else f" {entry!r} is not a replica:"
        raise SettingsError(f"ENGINEHOUSE_FLEET={text!r}:{where} {_FORMS}")
    return found


def _port(digits: str, text: str) -> int:
    port = int(digits)
    if not 1 <= port <= _MAX_PORT:
        raise SettingsError(f"ENGINEHOUSE_FLEET={text!r}: {port} is not a port; {_FORMS}")
    return port
