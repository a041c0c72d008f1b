"""Only one controller acts: a lease with expiry, in the registry itself.

MLflow's tags and aliases have no compare-and-set, but version numbers are given out one by one.
So a bid for the lease is a version of one registered model of ours, and of all bids that have
not expired the lowest number holds. A bid is made and then all are read, so of two bidders the
later one sees the earlier. The number is also a fencing token: it stands in every state that
its holder writes.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any

import psutil
from enginehouse.registry.store import Registry

_LEASE = "enginehouse.lease"
_HOLDER = "enginehouse.holder"
_EXPIRES = "enginehouse.expires"
_URL = "enginehouse.url"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lease.

    Attributes:
        epoch: number of its bid.
        expires: seconds since the epoch.
    """

    name: str
    url: str
    epoch: int
    expires: float


def holder_name() -> str:
    """This process: host, pid, and when it started, so that a reused pid is another name."""
    started = psutil.Process().create_time()
    return f"{socket.gethostname()}:{os.getpid()}:{started:.2f}"


class Lease:
    """One controller's claim."""

    def __init__(self, registry: Registry, url: str, duration_s: float) -> None:
        """`url` is where this controller answers, for who asks another."""
        self._registry = registry
        self._url = url
        self._duration_s = duration_s
        self._name = holder_name()
        prefix = registry.environment.prefix
        self._model = _LEASE if prefix is None else f"{_LEASE}.{prefix}"
        self._epoch: int | None = None
        self._valid_until = 0.0
        self._renewed_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this process may act now; by its own monotonic clock."""
        return self._epoch is not None and time.monotonic() < self._valid_until

    @property
    def epoch(self) -> int:
        """Number of the bid that holds, or 0."""
        return self._epoch or 0

    def acquire(self) -> bool:
        """Renew, or bid; whether this process holds it now.

        Raises:
            RegistryError: if MLflow does not answer; a lease that is held stays valid until it
                expires.
        """
        if self.held and time.monotonic() - self._renewed_at < self._duration_s / 3:
            return True
        with self._registry.session() as client:
            if self._epoch is not None:
                if self.held and self._renew(client):
                    return True
                # An expired claim may have been taken over: begin again with a new bid.
                self._withdraw(client)
            return self._bid(client)

    def release(self) -> None:
        """Let the next one in at once.

        Raises:
            RegistryError: if MLflow does not answer; the lease then runs out by itself.
        """
        if self._epoch is not None:
            with self._registry.session() as client:
                self._withdraw(client)

    def holder(self) -> Holder | None:
        """Who holds it, or None.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        with self._registry.session() as client:
            return self._lowest(client)

    def _renew(self, client: Any) -> bool:
        from mlflow.exceptions import MlflowException

        began = time.monotonic()
        try:
            client.set_model_version_tag(self._model, str(self._epoch), _EXPIRES, self._expiry())
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        self._take(began)
        return True

    def _bid(self, client: Any) -> bool:
        current = self._lowest(client)
        if current is not None:
            return False
        _ensure_model(client, self._model)
        began = time.monotonic()
        tags = {_HOLDER: self._name, _EXPIRES: self._expiry(), _URL: self._url}
        created = client.create_model_version(self._model, source="enginehouse:/lease", tags=tags)
        self._epoch = int(created.version)
        winner = self._lowest(client)
        if winner is None or winner.epoch != self._epoch:
            self._withdraw(client)
            return False
        self._take(began)
        return True

    def _take(self, began: float) -> None:
        self._renewed_at = began
        self._valid_until = began + self._duration_s

    def _expiry(self) -> str:
        return repr(time.time() + self._duration_s)

    def _withdraw(self, client: Any) -> None:
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            _delete(client, self._model, epoch)

    def _lowest(self, client: Any) -> Holder | None:
        """The bid that holds; expired ones, and those of dead processes here, are deleted."""
        alive = []
        for found in client.search_model_versions(f"name='{self._model}'", max_results=1000):
            tags = dict(found.tags)
            bid = Holder(
                name=tags.get(_HOLDER, "?"),
                url=tags.get(_URL, ""),
                epoch=int(found.version),
                expires=float(tags.get(_EXPIRES, 0.0)),
            )
            if bid.expires < time.time() or _is_dead_here(bid.name):
                _delete(client, self._model, bid.epoch)
            else:
                alive.append(bid)
        return min(alive, key=lambda bid: bid.epoch, default=None)


def _is_dead_here(name: str) -> bool:
    """Whether the bid is of a process of this host that has ended."""
    host, _, rest = name.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def _ensure_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name, description="The lease of Enginehouse's release controller; not a model."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _delete(client: Any, model: str, version: int) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_model_version(model, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
