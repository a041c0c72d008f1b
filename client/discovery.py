"""Where the replicas of a fleet are: a list, a name in DNS, or a service in Kubernetes.

``ENGINEHOUSE_FLEET`` takes one of three forms::

    127.0.0.1:8001,127.0.0.1:8011:8012      gRPC port, and the metrics port (8002)
    dns:triton.internal:8001                every address that the name has
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
    """One Triton.

    Attributes:
        name: the same as long as it is the same Triton; for logs and metrics.
        grpc: ``host:port`` of its gRPC port.
        metrics_url: its Prometheus page, or None.
    """

    name: str
    grpc: str
    metrics_url: str | None = None


class Discovery(Protocol):
    """Says where the replicas are now; may block for a moment, never raises."""

    def replicas(self) -> tuple[Replica, ...]:
        """The replicas, each once."""
        ...


class StaticDiscovery:
    """Replicas that are known beforehand."""

    def __init__(self, replicas: tuple[Replica, ...]) -> None:
        self._replicas = replicas

    def replicas(self) -> tuple[Replica, ...]:
        """Those that were given."""
        return self._replicas


class LookupDiscovery:
    """Asks every time, and keeps the last known list while nobody answers."""

    def __init__(self, what: str, lookup: Callable[[], tuple[Replica, ...]]) -> None:
        """`what` names the source in the log; `lookup` may raise OSError or `httpx.HTTPError`."""
        self._what = what
        self._lookup = lookup
        self._known: tuple[Replica, ...] = ()
        self._failing = False

    def replicas(self) -> tuple[Replica, ...]:
        """Those of the last lookup that succeeded."""
        try:
            self._known = self._lookup()
        # What is no JSON, or another JSON than expected, is no answer either.
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
    """The discovery that the settings ask for; without a fleet, the local replicas.

    Raises:
        SettingsError: if ``ENGINEHOUSE_FLEET`` is none of the forms.
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
    """The discovery that a value of ``ENGINEHOUSE_FLEET`` describes.

    Args:
        kubernetes: None is the API of the cluster that this process runs in.

    Raises:
        SettingsError: naming the variable, its value and what it takes.
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
        OSError: if the name has none, or DNS does not answer.
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
        where = "" if entry == text else f" {entry!r} is no replica:"
        raise SettingsError(f"ENGINEHOUSE_FLEET={text!r}:{where} {_FORMS}")
    return found


def _port(digits: str, text: str) -> int:
    port = int(digits)
    if not 1 <= port <= _MAX_PORT:
        raise SettingsError(f"ENGINEHOUSE_FLEET={text!r}: {port} is no port; {_FORMS}")
    return port
