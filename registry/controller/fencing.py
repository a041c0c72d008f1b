"""Fencing: writes of the release controller fail if another controller has taken the lease.

A process can be suspended between any two instructions, so a controller may believe that it holds
the lease long after another one took over. Each kind of write is therefore fenced where it is
stored, with the epoch of the lease (`enginehouse.registry.controller.lease`):
======================  ========================================================================
written                 what rejects a controller that lost the lease
======================  ========================================================================
MLflow, its database    the transaction itself: it commits only if the bid still exists, and a
                        takeover deletes the bid (`enginehouse.registry.controller.sql_fence`)
MLflow, a server        the bid is read before each request; a record of an older epoch that
                        slips in between is undone by the holder (`ModelReleases.sync`)
routes, repository      a mark in the directory with the holder's epoch, compared and written
                        under one file lock (`enginehouse.registry.controller.directory_mark`)
Triton's loads          lease and mark are compared before each call; the effect of a call in
                        progress is corrected by the holder's next look at the replica
======================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from enginehouse.registry.controller.directory_mark import DirectoryMark
from enginehouse.registry.controller.lease import Bid, Lease
from enginehouse.registry.controller.sql_fence import only_while_bid_exists
from enginehouse.registry.store import Registry

from enginehouse.errors import LeaseLostError
from enginehouse.settings import Settings

#: Name prefixes of MLflow client methods that only read; all other methods are fenced.
_READS = ("get_", "search_", "list_", "download_", "load_")


class Fence(Protocol):
    """Checked before everything that a controller does to the fleet or its files."""

    @property
    def epoch(self) -> int:
        """Epoch of the lease under which this controller acts."""
        ...

    def check(self) -> None:
        """Check that the lease is held.

        Raises:
            LeaseLostError: if it is not.
        """
        ...

    def writing(self, directory: Path) -> Any:
        """A context in which files below a marked directory may be written.

        Raises:
            LeaseLostError: on entry, if the lease is not held.
        """
        ...


class LeaseFence:
    """The fence of one epoch; a controller that bids again needs a new one."""

    def __init__(self, lease: Lease, directories: tuple[Path, ...]) -> None:
        """Mark the directories as this holder's.

        Raises:
            LeaseLostError: if `lease` is not held, or a directory is marked by a later holder.
            OSError: if a mark cannot be written.
        """
        self._lease = lease
        self.bid: Bid = lease.bid
        self._marks = {path: DirectoryMark(path, self.bid) for path in directories}
        for mark in self._marks.values():
            mark.take()

    @property
    def epoch(self) -> int:
        """Epoch of the lease under which this controller acts."""
        return self.bid.epoch

    def check(self) -> None:
        """Check the lease (MLflow is asked only if it has expired by our clock) and every mark.

        An expired lease does not stop repairs while MLflow is unreachable, because then no other
        controller can take it over. One that can reach MLflow and took over marks the directories.

        Raises:
            LeaseLostError: if the lease is not held, or a directory is marked by a later holder.
        """
        if not self._lease.keep(self.epoch):
            raise LeaseLostError(
                f"the lease {self.bid.lease} of epoch {self.epoch} was taken over by another "
                "controller; nothing was done"
            )
        for mark in self._marks.values():
            mark.check()

    @contextmanager
    def writing(self, directory: Path) -> Iterator[None]:
        """A context in which files below a marked directory may be written.

        Raises:
            LeaseLostError: on entry, if the lease is not held.
        """
        self.check()
        with self._marks[directory].locked():
            yield


class FencedRegistry(Registry):
    """The registry, writable only while one bid for the lease exists.

    Once the bid is gone, every writing method raises `LeaseLostError` and writes nothing.
    """

    def __init__(self, settings: Settings, lease: Lease) -> None:
        """`lease` has to be held; its current bid is compared with every write."""
        super().__init__(settings)
        self._lease = lease
        self._bid = lease.bid
        self.__dict__["_client"] = _FencedClient(super()._client, self._bid, self._lost)

    def _lost(self) -> LeaseLostError:
        self._lease.forget(self._bid.epoch)
        return LeaseLostError(
            f"the lease {self._bid.lease} of epoch {self._bid.epoch} was taken over by another "
            "controller; nothing was written"
        )


class _FencedClient:
    """MLflow's client; its writing methods check the bid before the call and at the commit."""

    def __init__(self, client: Any, bid: Bid, lost: Callable[[], LeaseLostError]) -> None:
        self._client = client
        self._bid = bid
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.startswith(_READS) or not callable(found):
            return found

        def write(*arguments: Any, **options: Any) -> Any:
            self._compare()
            with only_while_bid_exists(self._bid, self._lost):
                return found(*arguments, **options)

        return write

    def _compare(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_model_version(self._bid.model, str(self._bid.epoch))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise self._lost() from None
            raise
