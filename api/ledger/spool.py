"""Records that wait on disk for the database."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from enginehouse.api.ledger.records import UsageRecord

_FILE = "usage-spool.jsonl"
_LOCK = ".usage-spool.lock"
_CLAIMED = "usage-spool.*.claimed"
_DAMAGED = "usage-spool.damaged"
_PRIVATE = 0o600


class Spool:
    """A file that the adapters of one home share; written without fsync.

    What is in it survives the process' death. To replay, it is renamed first, so that others can
    go on writing; a renamed file that a crash left is replayed again, which the ledger's primary
    key makes harmless.
    """

    def __init__(self, directory: Path) -> None:
        """Make the directory.

        Raises:
            OSError: if that is not possible.
        """
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to replay."""
        return self._file.exists() or any(self._directory.glob(_CLAIMED))

    def append(self, records: Sequence[UsageRecord]) -> None:
        """Write them all, or none.

        Raises:
            OSError: if they cannot be written.
        """
        data = b"".join(record.line() for record in records)
        with self._alone():
            descriptor = os.open(self._file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, _PRIVATE)
            try:
                _append_whole(descriptor, data)
            finally:
                os.close(descriptor)

    def claim(self) -> list[Path]:
        """Files to replay now, oldest first.

        Raises:
            OSError: if the directory cannot be used.
        """
        with self._alone():
            if self._file.exists():
                self._file.rename(self._directory / f"usage-spool.{uuid.uuid4().hex}.claimed")
        found = []
        for path in self._directory.glob(_CLAIMED):
            try:
                found.append((path.stat().st_mtime_ns, path))
            except FileNotFoundError:
                # Another adapter has replayed it meanwhile.
                continue
        return [path for _, path in sorted(found)]

    def read(self, path: Path, on_damage: Callable[[bytes], None]) -> list[UsageRecord]:
        """The records of a claimed file; none if another adapter has replayed it meanwhile.

        Args:
            on_damage: gets each line that is no record.

        Raises:
            OSError: if it cannot be read.
        """
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(UsageRecord.of_line(line))
            except ValueError:
                on_damage(line)
        return records

    def keep_damaged(self, line: bytes) -> None:
        """Put a line aside for a person to look at.

        Raises:
            OSError: if it cannot be written.
        """
        path = self._directory / _DAMAGED
        descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, _PRIVATE)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line + b"\n")

    @property
    def _file(self) -> Path:
        return self._directory / _FILE

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process, and no other thread, appends or renames meanwhile."""
        descriptor = os.open(self._directory / _LOCK, os.O_CREAT | os.O_RDWR, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _append_whole(descriptor: int, data: bytes) -> None:
    size = os.fstat(descriptor).st_size
    try:
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        # Half a line would spoil the next one.
        os.ftruncate(descriptor, size)
        raise
