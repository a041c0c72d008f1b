"""A directory with one writer at a time; a mark file names the epoch of the writer.

Routes and the model repository are on disk, where the replicas and the adapters read them. A
controller that takes over first marks the directory with its epoch. A writer compares the mark and
writes under one file lock (`flock`). A controller that was suspended between the two has either
finished before the mark was changed, or finds it changed.

A controller that is suspended while it holds the lock blocks the next one until it resumes or dies.
Then nobody writes, which is safe, and the next controller reports which file is locked.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enginehouse.registry.controller.lease import Bid

from enginehouse.errors import LeaseLostError, RegistryError

_LOCK_PATIENCE_S = 5.0
_LOCK_EVERY_S = 0.02


class DirectoryMark:
    """One holder's mark in one directory."""

    def __init__(self, directory: Path, bid: Bid) -> None:
        self._directory = directory
        self._bid = bid
        # Triton and the adapters ignore names that begin with a dot. Each environment has its own
        # lease, and therefore its own mark.
        self._path = directory / f".{bid.model}.json"

    def take(self) -> None:
        """Mark the directory; creates it if needed.

        Raises:
            LeaseLostError: if a later holder of the same lease has marked it.
            RegistryError: if another process holds its lock.
            OSError: if it cannot be written.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._lock():
            found = self._read()
            if found is not None and found[0] == self._bid.lease and found[1] > self._bid.epoch:
                raise self._lost(found)
            if found != self._own:
                scratch = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                scratch.write_text(
                    json.dumps({"lease": self._bid.lease, "epoch": self._bid.epoch}), "utf-8"
                )
                scratch.replace(self._path)

    def check(self) -> None:
        """Check that the mark is this holder's.

        Raises:
            LeaseLostError: if it is not.
        """
        found = self._read()
        if found != self._own:
            raise self._lost(found)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, so that the mark does not change while files are written.

        Raises:
            LeaseLostError: if the mark is not this holder's.
            RegistryError: if another process holds the lock.
        """
        with self._lock():
            self.check()
            yield

    @property
    def _own(self) -> tuple[str, int]:
        return self._bid.lease, self._bid.epoch

    def _lost(self, found: tuple[str, int] | None) -> LeaseLostError:
        other = "nobody" if found is None else f"epoch {found[1]} of {found[0]}"
        return LeaseLostError(
            f"{self._directory} is marked by {other}, not by epoch {self._bid.epoch} of "
            f"{self._bid.lease}; nothing was written"
        )

    def _read(self) -> tuple[str, int] | None:
        try:
            found = json.loads(self._path.read_text("utf-8"))
            return str(found["lease"]), int(found["epoch"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            # Marks are written atomically, so this one was edited by hand.
            return None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        path = self._path.with_suffix(".lock")
        try:
            file = path.open("a")
        except FileNotFoundError:
            raise self._lost(None) from None
        with file:
            until = time.monotonic() + _LOCK_PATIENCE_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise RegistryError(
                            f"{path} is locked by another process: a controller that was stopped "
                            "while it wrote; let it go on, or end it"
                        ) from None
                    time.sleep(_LOCK_EVERY_S)
            yield
