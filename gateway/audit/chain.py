"""The log files of one adapter's hash chain: reopening, appending, rotation."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enginehouse.gateway.audit.records import (
    AuditRecord,
    AuditRecordKind,
    ChainLink,
    decode,
    encode,
    file_name,
    head_name,
    instance_files,
    lock_name,
)

from enginehouse.errors import AuditTrailError, StoreError

_log = logging.getLogger(__name__)
_MOST_INSTANCES = 64
_PRIVATE = 0o600
_BLOCK_BYTES = 65_536

#: An entry to append: its kind, its time in seconds since 1970 UTC, its fields.
Entry = tuple[AuditRecordKind, float, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class AuditFileEnd:
    """State of the end of a file.

    Attributes:
        last: its last complete record; None if it has none.
        torn_bytes: bytes after the last line feed.
        damaged: whether its last complete line is not a valid record.
    """

    last: AuditRecord | None
    torn_bytes: int
    damaged: bool = False


class InstanceLock:
    """A lock on an instance name; the kernel releases it when the process ends."""

    def __init__(self, directory: Path, wanted: str) -> None:
        """Lock the name, or the first free one of ``NAME-2``, ``NAME-3``….

        Raises:
            StoreError: if 64 adapters hold these names, or the directory cannot be used.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(1, _MOST_INSTANCES + 1):
                self.instance = wanted if number == 1 else f"{wanted}-{number}"
                if self._take(directory / lock_name(self.instance)):
                    return
        except OSError as error:
            raise StoreError(f"the audit trail {directory}: {error.strerror}") from None
        raise StoreError(f"{directory}: {_MOST_INSTANCES} adapters write an audit trail there")

    def _take(self, path: Path) -> bool:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, _PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Release the name."""
        os.close(self._descriptor)


def is_held(directory: Path, instance: str) -> bool:
    """Whether an adapter holds that name now."""
    try:
        descriptor = os.open(directory / lock_name(instance), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class AuditChain:
    """Appends to one instance's files. Every method blocks and may raise OSError.

    After an error the same call can be repeated. A partial write is truncated; if truncation fails
    as well, it stays at the end of its file and a new file is begun.
    """

    def __init__(self, directory: Path, instance: str, *, rotate_bytes: int) -> None:
        self._directory = directory
        self._instance = instance
        self._rotate_bytes = rotate_bytes
        self._descriptor: int | None = None
        self._size = 0
        self._day = ""
        self._number = 0
        self._link = ChainLink()

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries, in a new file if rotation is due."""
        if self._descriptor is not None and self._outgrown():
            successor = {"next": file_name(self._instance, self._number + 1)}
            self._write([(AuditRecordKind.ROTATE, _now(), successor)])
            self.sync()
            self._leave()
        if self._descriptor is None:
            self._open_next()
        self._write(entries)

    def sync(self) -> None:
        """Sync what was written to the disk."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Write the closing record."""
        if self._descriptor is None:
            return
        self._write([(AuditRecordKind.CLOSE, _now(), {})])
        self.sync()
        self._leave()
        self._remember()

    def _outgrown(self) -> bool:
        return self._size >= self._rotate_bytes or self._day != _today()

    def _open_next(self) -> None:
        """Begin a file with a record of how the previous file ended."""
        files = list(instance_files(self._directory).get(self._instance, {}).items())
        ending = AuditFileEnd(None, 0)
        while files:
            ending = ending_of(files[-1][1])
            if ending.last is not None or ending.damaged:
                break
            # The process crashed before the first record, so the file is empty and its number is
            # reused.
            files.pop()[1].unlink()
        before, last = (files[-1] if files else None), ending.last
        if before is not None and last is None:
            _log.error(
                "%s ends with a line that is not an audit record: run `enginehouse audit verify`",
                before[1],
            )
        self._number = 1 if before is None else before[0] + 1
        self._link = ChainLink() if last is None else last.link
        said = {
            "instance": self._instance,
            "after": None if before is None else before[1].name,
            "clean": last is not None
            and last.kind in {AuditRecordKind.CLOSE, AuditRecordKind.ROTATE},
            "torn_bytes": ending.torn_bytes,
        }
        path = self._directory / file_name(self._instance, self._number)
        flags = os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_WRONLY
        self._descriptor = os.open(path, flags, _PRIVATE)
        self._size, self._day = 0, _today()
        try:
            self._write([(AuditRecordKind.OPEN, _now(), said)])
        except OSError:
            self._leave()
            raise
        self._sync_directory()
        self._remember()

    def _write(self, entries: Sequence[Entry]) -> None:
        assert self._descriptor is not None  # noqa: S101 - `append` has opened it
        link, lines = self._link, []
        for kind, at, fields in entries:
            line, link = encode(kind, at, fields, link)
            lines.append(line)
        data = memoryview(b"".join(lines))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            self._take_back()
            raise
        self._size += len(data)
        self._link = link

    def _take_back(self) -> None:
        """Truncate a partial write. If that fails, the next file records its number of bytes."""
        assert self._descriptor is not None  # noqa: S101 - it is being written to
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._leave()

    def _leave(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _remember(self) -> None:
        """Store the newest hash in its own file, so that a deleted newest log is noticed."""
        path = self._directory / head_name(self._instance)
        scratch = path.with_suffix(".scratch")
        head = {"file": file_name(self._instance, self._number), **_as_json(self._link)}
        descriptor = os.open(scratch, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, _PRIVATE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(head, file)
        scratch.replace(path)

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def ending_of(path: Path) -> AuditFileEnd:
    """Inspect the end of a file.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        tail = b""
        # A complete line has a line feed at its end and one before it, unless it is the first.
        while start > 0 and tail.count(b"\n") < 2:  # noqa: PLR2004 - one at each end
            step = min(start, max(_BLOCK_BYTES, len(tail)))
            start -= step
            file.seek(start)
            tail = file.read(step) + tail
    whole, feed, torn = tail.rpartition(b"\n")
    if not feed:
        return AuditFileEnd(None, len(torn))
    line = whole.rpartition(b"\n")[2] + b"\n"
    try:
        return AuditFileEnd(decode(line), len(torn))
    except AuditTrailError:
        return AuditFileEnd(None, len(torn), damaged=True)


def _as_json(link: ChainLink) -> dict[str, Any]:
    return {"seq": link.seq, "hash": link.hash}


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
