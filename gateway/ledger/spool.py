"""Records on disk on their way to the database."""

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
    """A file that nobody appends to any more; its lock is held until it is closed."""

    path: Path
    descriptor: int

    @property
    def there(self) -> bool:
        """Whether it still has a name."""
        return os.fstat(self.descriptor).st_nlink > 0

    def records(self, on_damage: Callable[[bytes], None]) -> list[UsageRecord]:
        """What it holds.

        Args:
            on_damage: gets each line that is no record.

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
        """Remove it: its records are in the database.

        Raises:
            OSError: if that is not possible; it is replayed then, which changes nothing.
        """
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up its lock; whoever finds it replays it."""
        os.close(self.descriptor)


class Spool:
    """Files of records, written without fsync: what is in them survives the process' death.

    Each adapter appends to a file of its own, which it holds locked, and begins another when that
    one is taken to be written to the database. A file that nobody holds was left by an adapter
    that has died. One that is replayed twice does no harm: the ledger's primary key sees to that.
    """

    def __init__(self, directory: Path) -> None:
        """Make the directory.

        Raises:
            OSError: if that is not possible.
        """
        self._directory = directory
        self._lock = threading.Lock()
        self._current: SpoolFile | None = None
        self._used = False
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def append(self, records: Sequence[UsageRecord]) -> None:
        """Write them all, or none.

        Raises:
            OSError: if they cannot be written.
        """
        data = b"".join(record.line() for record in records)
        with self._lock:
            current = self._current
            if current is not None and not (self._used or current.there):
                # It has been lying ready, and somebody has tidied up.
                current.close()
                current = self._current = None
            if current is None:
                current = self._current = self._begun()
            _append_whole(current.descriptor, data)
            self._used = True

    def take(self) -> SpoolFile | None:
        """What was appended since this was called last; None if that is nothing."""
        if not self._used:
            return None
        fresh = None
        # Here, since whoever appends has a caller who waits. One who finds none tries again.
        with contextlib.suppress(OSError):
            fresh = self._begun()
        with self._lock:
            taken, self._current, self._used = self._current, fresh, False
        return taken

    def close(self) -> None:
        """Leave what is in it to whoever comes next."""
        with self._lock:
            current, self._current = self._current, None
        if current is None:
            return
        if self._used:
            current.close()
        else:
            current.remove()

    def left_by_others(self) -> list[SpoolFile]:
        """Files of adapters that have died, oldest first; each is given out once.

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
        """Put a line aside for a person to look at.

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
            # Before it was locked somebody may have taken it for one that was left.
            if _locked(file.descriptor) and file.there:
                return file
            file.close()


def waiting(directory: Path) -> int:
    """Records in all spool files of a directory, those of adapters at work included.

    Raises:
        OSError: if one cannot be read.
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
        # Half a line would spoil the next one.
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise
