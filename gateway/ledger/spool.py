"""Files that hold records until the database has them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from enginehouse.gateway.ledger.records import UsageRecord

from enginehouse.lines import lines_of

_FILES = "usage-spool.*.jsonl"
_DAMAGED = "usage-spool.damaged"
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """A spool file that is no longer appended to; it is locked until it is closed."""

    path: Path
    descriptor: int

    @property
    def there(self) -> bool:
        """Whether the file has not been deleted."""
        return os.fstat(self.descriptor).st_nlink > 0

    def records(self, on_damage: Callable[[bytes], None]) -> list[UsageRecord]:
        """Read its records.

        Args:
            on_damage: called with each line that is not a record.

        Raises:
            OSError: if it cannot be read.
        """
        found = []
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            lines = list(lines_of(file))
        for line in lines:
            try:
                found.append(UsageRecord.of_line(line))
            except ValueError:
                on_damage(line)
        return found

    def remove(self) -> None:
        """Delete it, because its records are in the database.

        Raises:
            OSError: if that fails. The file is then replayed later, which has no effect.
        """
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Unlock it, so that it is replayed later."""
        os.close(self.descriptor)


class Spool:
    """Files of records, written without fsync: they survive a crash of the process.

    Each adapter appends to its own locked file, and begins another one when the file is taken to be
    written to the database. An unlocked file was left by a process that has died. Replaying a file
    twice has no effect, because the ledger's primary key rejects duplicates.
    """

    def __init__(self, directory: Path) -> None:
        """Create the directory.

        Raises:
            OSError: if that fails.
        """
        self._directory = directory
        self._lock = threading.Lock()
        self._current: SpoolFile | None = None
        self._used = False
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, records: Sequence[UsageRecord]) -> None:
        """Write all records, or none.

        Raises:
            OSError: if they cannot be written.
        """
        data = b"".join(record.line() for record in records)
        with self._lock:
            current = self._current
            if current is not None and not (self._used or current.there):
                # The unused file was deleted by another process.
                current.close()
                current = self._current = None
            if current is None:
                current = self._current = self._begun()
            _append_whole(current.descriptor, data)
            self._used = True

    def take(self) -> SpoolFile | None:
        """The file with the records appended since the last call; None if there are none."""
        if not self._used:
            return None
        fresh = None
        # The next file is opened here, so that `append` is fast. If that fails, `append` tries
        # again.
        with contextlib.suppress(OSError):
            fresh = self._begun()
        with self._lock:
            taken, self._current, self._used = self._current, fresh, False
        return taken

    def close(self) -> None:
        """Leave remaining records to the next process that starts."""
        with self._lock:
            current, self._current = self._current, None
        if current is None:
            return
        if self._used:
            current.close()
        else:
            current.remove()

    def left_by_others(self) -> list[SpoolFile]:
        """Files of processes that have died, oldest first; each is returned once.

        Raises:
            OSError: if the directory cannot be used.
        """
        found = []
        for path in self._directory.glob(_FILES):
            try:
                file = SpoolFile(path, os.open(path, os.O_RDONLY))
            except FileNotFoundError:
                # Another adapter has replayed it meanwhile.
                continue
            if _locked(file.descriptor):
                found.append((os.fstat(file.descriptor).st_mtime_ns, file))
            else:
                file.close()
        return [file for _, file in sorted(found, key=lambda item: item[0])]

    def keep_damaged(self, line: bytes) -> None:
        """Store a damaged line in a separate file for manual inspection.

        Raises:
            OSError: if it cannot be written.
        """
        path = self._directory / _DAMAGED
        descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, _PRIVATE)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line + b"\n")

    def _begun(self) -> SpoolFile:
        while True:
            path = self._directory / f"usage-spool.{uuid.uuid4().hex}.jsonl"
            flags = os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_RDWR
            file = SpoolFile(path, os.open(path, flags, _PRIVATE))
            # Another process may have treated the file as abandoned before it was locked.
            if _locked(file.descriptor) and file.there:
                return file
            file.close()


def waiting(directory: Path) -> int:
    """Number of records in all spool files of a directory, including files in use.

    Raises:
        OSError: if a file cannot be read.
    """
    lines = 0
    for path in directory.glob(_FILES):
        try:
            lines += path.read_bytes().count(b"\n")
        except FileNotFoundError:
            # It was written to the database meanwhile.
            continue
    return lines


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _append_whole(descriptor: int, data: bytes) -> None:
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        # A partial line would corrupt the next one.
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise
