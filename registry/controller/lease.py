"""The lease: only one controller acts. It expires, is stored in the registry and fences its holder.

MLflow's tags and aliases have no compare-and-set, but version numbers are assigned in order. A bid
for the lease is a version of an internal registered model. The existing bid with the lowest number
holds the lease. A bidder creates its bid and then reads all bids, so the later of two bidders sees
the earlier one.

The number of the bid is the epoch, a fencing token that never repeats. A bid ends when it is
deleted: by its holder, or by another controller that finds it expired. Nobody else can hold the
lease before that. So "my bid still exists" means "nobody else holds the lease", whatever the clocks
say. `enginehouse.registry.controller.fencing` checks that with every write.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from enginehouse.registry.store import Registry

from enginehouse.errors import LeaseLostError, RegistryError

_LEASE = "enginehouse.lease"
_HOLDER = "enginehouse.holder"
_EXPIRES = "enginehouse.expires"
_URL = "enginehouse.url"
#: How long an expired lease counts as held if MLflow did not answer its renewal, in seconds.
_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The current holder of the lease.

    Attributes:
        epoch: number of its bid.
        expires: seconds since the epoch.
    """

    name: str
    url: str
    epoch: int
    expires: float


@dataclass(frozen=True, slots=True)
class Bid:
    """A bid for a lease; identifies a holder uniquely.

    Attributes:
        model: the registered model in MLflow whose versions are the bids.
        created_ms: creation time of that model: its numbers restart if a user deletes it.
        epoch: the version.
    """

    model: str
    created_ms: int
    epoch: int

    @property
    def lease(self) -> str:
        """Name of the lease; only epochs of the same lease can be compared."""
        return f"{self.model}@{self.created_ms}"


def holder_name() -> str:
    """Name of this process: host, pid and start time, so that a reused pid differs."""
    started = psutil.Process().create_time()
    return f"{socket.gethostname()}:{os.getpid()}:{started:.2f}"


def boot_time() -> float:
    """Seconds since the host booted; unlike `time.monotonic`, it includes suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One controller's claim to the lease."""

    def __init__(
        self,
        registry: Registry,
        url: str,
        duration_s: float,
        *,
        clock: Callable[[], float] = boot_time,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Create an unclaimed lease.

        Args:
            url: address of this controller, for clients that reach another one.
            clock: monotonic seconds, for this process's own view.
            wall_clock: seconds since the epoch, for other hosts.
        """
        self._registry = registry
        self._url = url
        self._duration_s = duration_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._name = holder_name()
        prefix = registry.environment.prefix
        self._model = _LEASE if prefix is None else f"{_LEASE}.{prefix}"
        self._epoch: int | None = None
        self._created_ms = 0
        self._valid_until = 0.0
        self._renewed_at = 0.0
        self._unanswered_at = float("-inf")
        self._lock = threading.RLock()

    @property
    def held(self) -> bool:
        """Whether this process may act now, by its own clock."""
        return self._epoch is not None and self._clock() < self._valid_until

    @property
    def epoch(self) -> int:
        """Number of the bid that is held, or 0."""
        return self._epoch or 0

    @property
    def bid(self) -> Bid:
        """The bid that is held.

        Raises:
            LeaseLostError: if this process has none.
        """
        if self._epoch is None:
            raise LeaseLostError("this controller has no lease")
        return Bid(self._model, self._created_ms, self._epoch)

    def acquire(self) -> bool:
        """Renew the lease or bid for it; returns whether this process holds it now.

        Raises:
            RegistryError: if MLflow does not answer; a held lease stays valid until it expires.
        """
        with self._lock:
            if self.held and self._clock() - self._renewed_at < self._duration_s / 3:
                return True
            with self._answered() as client:
                return self._renew(client) or self._bid(client)

    def keep(self, epoch: int) -> bool:
        """Whether the bid of this epoch still holds; renews an expired one that still exists.

        If the lease expired while MLflow does not answer, it counts as held for a while: no other
        controller can take it over through an unreachable registry.
        """
        if self._epoch == epoch and (self.held or self._silent):
            return True
        with self._lock:
            try:
                with self._answered() as client:
                    return self._epoch == epoch and self._renew(client)
            except RegistryError:
                return self._epoch == epoch

    def release(self) -> None:
        """Release the lease, so that another controller can take it immediately.

        Raises:
            RegistryError: if MLflow does not answer; the lease then expires.
        """
        with self._lock, self._registry.session() as client:
            if self._epoch is not None:
                _delete(client, self._model, self._epoch)
                self._epoch = None

    def forget(self, epoch: int) -> None:
        """Record that the bid of this epoch no longer exists."""
        if self._epoch == epoch:
            self._epoch = None

    def holder(self) -> Holder | None:
        """The current holder, or None.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        with self._registry.session() as client:
            return self._lowest(client)

    @property
    def _silent(self) -> bool:
        """Whether MLflow did not answer the last, recent renewal."""
        recent = self._clock() - self._unanswered_at < _SILENCE_S
        return recent and self._unanswered_at > self._renewed_at

    @contextmanager
    def _answered(self) -> Iterator[Any]:
        try:
            with self._registry.session() as client:
                yield client
        except RegistryError:
            self._unanswered_at = self._clock()
            raise

    def _renew(self, client: Any) -> bool:
        """Extend our bid; returns whether it still exists and therefore holds."""
        from mlflow.exceptions import MlflowException

        if self._epoch is None:
            return False
        began = self._clock()
        try:
            client.set_model_version_tag(self._model, str(self._epoch), _EXPIRES, self._expiry())
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                # It expired, and another controller deleted it.
                self._epoch = None
                return False
            raise
        self._take(began)
        return True

    def _bid(self, client: Any) -> bool:
        current = self._lowest(client)
        if current is not None:
            return False
        _ensure_model(client, self._model)
        began = self._clock()
        tags = {_HOLDER: self._name, _EXPIRES: self._expiry(), _URL: self._url}
        created = client.create_model_version(self._model, source="enginehouse:/lease", tags=tags)
        epoch = int(created.version)
        winner = self._lowest(client)
        if winner is None or winner.epoch != epoch:
            _delete(client, self._model, epoch)
            return False
        self._created_ms = int(client.get_registered_model(self._model).creation_timestamp)
        self._epoch = epoch
        self._take(began)
        return True

    def _take(self, began: float) -> None:
        self._renewed_at = began
        self._valid_until = began + self._duration_s

    def _expiry(self) -> str:
        return repr(self._wall_clock() + self._duration_s)

    def _lowest(self, client: Any) -> Holder | None:
        """The bid that holds; deletes expired bids and those of dead processes on this host."""
        alive = []
        for found in client.search_model_versions(f"name='{self._model}'", max_results=1000):
            tags = dict(found.tags)
            bid = Holder(
                name=tags.get(_HOLDER, "?"),
                url=tags.get(_URL, ""),
                epoch=int(found.version),
                expires=float(tags.get(_EXPIRES, 0.0)),
            )
            if bid.expires < self._wall_clock() or _is_dead_here(bid.name):
                _delete(client, self._model, bid.epoch)
            else:
                alive.append(bid)
        return min(alive, key=lambda bid: bid.epoch, default=None)


def _is_dead_here(name: str) -> bool:
    """Whether the bid is of a process on this host that has ended."""
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
