"""Files of tenants: metadata in the database, content in a folder.

The content of a file is written before its row, and deleted after its row, so that a row without
content is never visible. Several adapters must share the folder.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.tables import files
from enginehouse.gateway.database.database import Database
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select

from enginehouse.errors import InvalidRequestError, NotFoundError, StoreError

#: Content without a row that is older than this is not being written any more.
_ORPHAN_AFTER_S = 3_600.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Metadata of one file; times are in seconds since 1970."""

    id: str
    tenant: str
    filename: str
    purpose: str
    size_bytes: int
    created_at: float
    expires_at: float

    def as_json(self) -> dict[str, Any]:
        """OpenAI's file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": int(self.created_at),
            "expires_at": int(self.expires_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class FileStore:
    """Files of all tenants; every query is restricted to one tenant."""

    def __init__(
        self,
        database: Database,
        directory: Path,
        config: BatchesConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._directory = directory
        self._config = config
        self._now = now

    async def add(
        self, tenant: str, filename: str, source: IO[bytes], *, expires_s: float | None = None
    ) -> StoredFile:
        """Store an upload for a batch.

        Args:
            expires_s: seconds until it is removed; None uses the configured time.

        Raises:
            InvalidRequestError: if it or the tenant's files are too large.
            StoreError: if the folder or the database fails.
        """
        name = new_file_id()
        size = await asyncio.to_thread(self._copy, name, source)
        try:
            self._check_size(size)
            file = self.described(name, tenant, filename, "batch", size, expires_s)
            await self._database.run(lambda connection: self._insert(connection, file))
        except BaseException:
            await asyncio.to_thread(self.path(name).unlink, missing_ok=True)
            raise
        return file

    def described(
        self,
        file_id: str,
        tenant: str,
        filename: str,
        purpose: str,
        size_bytes: int,
        expires_s: float | None,
    ) -> StoredFile:
        """Metadata of a new file."""
        now = self._now()
        expires_at = now + (expires_s or self._config.keep_s)
        return StoredFile(file_id, tenant, filename, purpose, size_bytes, now, expires_at)

    async def get(self, tenant: str, file_id: str) -> StoredFile:
        """Metadata of one file.

        Raises:
            NotFoundError: if the tenant has no such file, or it has expired.
            StoreError: if the database fails.
        """
        wanted = select(files).where(files.c.id == file_id, *self._visible(tenant))
        row = await self._database.run(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            raise NotFoundError(
                f"no file {file_id!r}: it was deleted or has expired", field="file_id"
            )
        return _file(row)

    async def page(
        self,
        tenant: str,
        *,
        after: str | None = None,
        limit: int = 10_000,
        newest_first: bool = True,
        purpose: str | None = None,
    ) -> tuple[list[StoredFile], bool]:
        """Files in order of creation, and whether there are more.

        Raises:
            NotFoundError: if there is no file `after`.
            StoreError: if the database fails.
        """
        place = (files.c.created_at, files.c.id)
        wanted = select(files).where(*self._visible(tenant))
        if purpose is not None:
            wanted = wanted.where(files.c.purpose == purpose)
        if after is not None:
            last = await self.get(tenant, after)
            wanted = wanted.where(
                beyond(*place, last.created_at, last.id, newest_first=newest_first)
            )
        wanted = wanted.order_by(*(c.desc() if newest_first else c.asc() for c in place))
        rows = await self._database.run(
            lambda connection: connection.execute(wanted.limit(limit + 1)).all()
        )
        return [_file(row) for row in rows[:limit]], len(rows) > limit

    async def delete(self, tenant: str, file_id: str) -> None:
        """Delete a file; errors as `get`."""
        file = await self.get(tenant, file_id)
        await self._database.run(
            lambda connection: connection.execute(delete(files).where(files.c.id == file.id))
        )
        await asyncio.to_thread(self.path(file.id).unlink, missing_ok=True)

    async def sweep(self) -> None:
        """Remove expired files, and content without a row.

        Raises:
            StoreError: if the folder or the database fails.
        """
        old = delete(files).where(files.c.expires_at <= self._now())
        await self._database.run(lambda connection: connection.execute(old))
        known = await self._database.run(
            lambda connection: set(connection.execute(select(files.c.id)).scalars())
        )
        await asyncio.to_thread(self._remove_orphans, known)

    def path(self, file_id: str) -> Path:
        """Path of a file's content; the id must come from the database, never from a caller."""
        return self._directory / file_id

    def readable(self, file: StoredFile) -> Path:
        """Path of a file's content, after checking that it exists. Blocks.

        Raises:
            StoreError: if this adapter does not have it.
        """
        path = self.path(file.id)
        if not path.is_file():
            raise StoreError(
                f"the content of file {file.id!r} is not on this adapter: adapters that share a "
                "database must share the folder of files too"
            ).told(None)
        return path

    def write(self, file_id: str, chunks: Iterable[bytes]) -> int:
        """Write a file's content and sync it; returns its size in bytes. Blocks.

        Raises:
            StoreError: if the folder fails.
        """
        with self._created(file_id) as target:
            return sum(target.write(chunk) for chunk in chunks)

    def row(self, file: StoredFile) -> Any:
        """The statement that inserts a file's row."""
        return insert(files).values(asdict(file))

    def _check_size(self, size: int) -> None:
        most = self._config.max_file_bytes
        if size > most:
            raise InvalidRequestError(
                f"file has {size} bytes, and at most {most} are taken: split it", field="file"
            )

    def _copy(self, file_id: str, source: IO[bytes]) -> int:
        with self._created(file_id) as target:
            shutil.copyfileobj(source, target)
            return target.tell()

    @contextmanager
    def _created(self, file_id: str) -> Iterator[IO[bytes]]:
        path = self.path(file_id)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = os.fdopen(os.open(path, flags, 0o600), "wb")
        except OSError as error:
            raise StoreError(f"a file cannot be made: {error.strerror}").told(None) from error
        try:
            with target:
                yield target
                target.flush()
                os.fsync(target.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreError(f"a file cannot be written: {error.strerror}").told(None) from error

    def _insert(self, connection: Connection, file: StoredFile) -> None:
        used = select(func.coalesce(func.sum(files.c.size_bytes), 0)).where(
            *self._visible(file.tenant)
        )
        most = self._config.max_tenant_bytes
        if connection.execute(used).scalar_one() + file.size_bytes > most:
            raise InvalidRequestError(
                f"the tenant's files would have more than {most} bytes: delete some", field="file"
            )
        connection.execute(self.row(file))

    def _visible(self, tenant: str) -> tuple[ColumnElement[bool], ...]:
        return files.c.tenant == tenant, files.c.expires_at > self._now()

    def _remove_orphans(self, known: set[str]) -> None:
        try:
            for path in self._directory.glob("file-*"):
                young = time.time() - path.stat().st_mtime < _ORPHAN_AFTER_S
                if path.name not in known and not young:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"old files cannot be removed: {error.strerror}") from error


def new_file_id() -> str:
    """A new file id, which is also the name of its content."""
    return f"file-{uuid.uuid4().hex}"


def beyond(
    at: ColumnElement[Any], by: ColumnElement[Any], last_at: float, last: str, *, newest_first: bool
) -> ColumnElement[bool]:
    """A condition for rows after a position in the order of two columns."""
    if newest_first:
        return or_(at < last_at, and_(at == last_at, by < last))
    return or_(at > last_at, and_(at == last_at, by > last))


def _file(row: Row[Any]) -> StoredFile:
    return StoredFile(**row._mapping)  # noqa: SLF001 - its name in SQLAlchemy's public interface
