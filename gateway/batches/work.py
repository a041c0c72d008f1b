"""The runner's access to the database; every write is one transaction of the lease holder."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import orjson
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore, StoredFile
from enginehouse.gateway.batches.tables import OPEN, BatchStatus, LineState, batch_lines, batches
from enginehouse.gateway.batches.validation import BatchLine
from enginehouse.gateway.database.database import Database
from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select, update

from enginehouse.errors import ConflictError

_PAGE = 100
_ENDS = {
    BatchStatus.COMPLETED: "completed_at",
    BatchStatus.EXPIRED: "expired_at",
    BatchStatus.CANCELLED: "cancelled_at",
}


class WorkStore:
    """Batches as one runner sees them.

    Methods that take a batch's id raise `ConflictError` if another runner holds its lease, and
    `StoreError` if the database fails.
    """

    def __init__(
        self,
        database: Database,
        files: FileStore,
        config: BatchesConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.owner = uuid.uuid4().hex
        self._database = database
        self._files = files
        self._config = config
        self._now = now

    async def claim(self, most: int, held: Collection[str]) -> list[str]:
        """Take batches that no runner holds, oldest first; returns their ids.

        Args:
            held: batches that this runner already runs.
        """
        now = self._now()
        free = or_(batches.c.lease_owner.is_(None), batches.c.lease_until <= now)
        open_ = batches.c.status.in_(OPEN)
        place = (batches.c.created_at, batches.c.id)
        wanted = select(batches.c.id).where(open_, free, batches.c.id.not_in(held))
        lease = {"lease_owner": self.owner, "lease_until": now + self._config.lease_s}

        def work(connection: Connection) -> list[str]:
            found = connection.execute(wanted.order_by(*place).limit(most)).scalars().all()
            taken = update(batches).where(open_, free).values(lease)
            # Of two runners that saw it free, the second one updates no row.
            return [i for i in found if connection.execute(taken.where(batches.c.id == i)).rowcount]

        return await self._database.run(work)

    async def renew(self, batch_id: str) -> Row[Any]:
        """Renew the lease of a batch; returns the batch."""
        until = self._now() + self._config.lease_s
        return await self._database.run(lambda c: self._changed(c, batch_id, lease_until=until))

    async def release(self, batch_ids: Collection[str]) -> None:
        """Release batches, so that any runner can take them.

        Those that are not held are skipped.
        """
        free = (
            update(batches)
            .where(batches.c.id.in_(batch_ids), batches.c.lease_owner == self.owner)
            .values(lease_owner=None, lease_until=None)
        )
        await self._database.run(lambda connection: connection.execute(free))

    async def batch(self, batch_id: str) -> Row[Any]:
        """A batch whose lease this runner holds."""
        return await self._database.run(lambda connection: self._held(connection, batch_id))

    async def clear(self, batch_id: str) -> None:
        """Remove lines that an earlier validation of the file has left."""
        await self._database.run(lambda connection: self._clear(connection, batch_id))

    def add(self, batch_id: str, lines: Sequence[BatchLine]) -> None:
        """Insert lines. Blocks."""
        rows = [
            {
                "batch_id": batch_id,
                "line": line.line,
                "custom_id": line.custom_id,
                "request": line.body,
                "state": LineState.PENDING,
            }
            for line in lines
        ]
        with self._database.begin() as connection:
            self._held(connection, batch_id)
            connection.execute(insert(batch_lines), rows)

    async def begin(self, batch_id: str, total: int, model: str | None) -> Row[Any]:
        """Start running the lines of a valid file, unless the batch was cancelled meanwhile."""

        def work(connection: Connection) -> Row[Any]:
            row = self._changed(connection, batch_id, total=total, model=model)
            if row.status != BatchStatus.VALIDATING:
                return row
            return self._changed(
                connection, batch_id, status=BatchStatus.IN_PROGRESS, in_progress_at=self._now()
            )

        return await self._database.run(work)

    async def refuse(self, batch_id: str, errors: Sequence[Mapping[str, Any]]) -> Row[Any]:
        """End the batch because its file is invalid, unless it was cancelled meanwhile."""

        def work(connection: Connection) -> Row[Any]:
            row = self._clear(connection, batch_id)
            if row.status != BatchStatus.VALIDATING:
                return row
            return self._changed(
                connection,
                batch_id,
                status=BatchStatus.FAILED,
                failed_at=self._now(),
                errors=orjson.dumps(errors).decode(),
                lease_owner=None,
            )

        return await self._database.run(work)

    async def pending(self, batch_id: str, after: int) -> list[Row[Any]]:
        """Lines without an answer that follow line `after`, in order."""
        lines = batch_lines.c
        wanted = (
            select(batch_lines)
            .where(lines.batch_id == batch_id, lines.line > after)
            .where(lines.state == LineState.PENDING)
            .order_by(lines.line)
            .limit(_PAGE)
        )
        return await self._database.run(lambda c: list(c.execute(wanted).all()))

    async def record(
        self, batch_id: str, line: int, status: int, answer: str, usage: Mapping[str, int]
    ) -> Row[Any]:
        """Record a line's answer, once; returns the batch after that.

        Args:
            answer: the body, as JSON text.
            usage: token columns → numbers to add.
        """
        good = status < 400  # noqa: PLR2004 - HTTP's first error
        state = LineState.COMPLETED if good else LineState.FAILED

        def work(connection: Connection) -> Row[Any]:
            row = self._held(connection, batch_id)
            done = (
                update(batch_lines)
                .where(batch_lines.c.batch_id == batch_id, batch_lines.c.line == line)
                .where(batch_lines.c.state == LineState.PENDING)
                .values(state=state, status_code=status, answer=answer)
            )
            if not connection.execute(done).rowcount:
                return row
            more = {**usage, str(state): 1}
            sums = {name: getattr(row, name) + value for name, value in more.items()}
            return self._changed(connection, batch_id, **sums)

        return await self._database.run(work)

    async def finalize(self, batch_id: str) -> Row[Any]:
        """Mark that no further line is run; returns the batch after that."""

        def work(connection: Connection) -> Row[Any]:
            row = self._held(connection, batch_id)
            if row.status != BatchStatus.IN_PROGRESS:
                return row
            return self._changed(
                connection, batch_id, status=BatchStatus.FINALIZING, finalizing_at=self._now()
            )

        return await self._database.run(work)

    def results(self, batch_id: str, states: Collection[LineState]) -> Iterator[Row[Any]]:
        """Lines in some states, in order. Blocks."""
        after = 0
        lines = batch_lines.c
        while True:
            wanted = (
                select(batch_lines)
                .where(lines.batch_id == batch_id, lines.line > after, lines.state.in_(states))
                .order_by(lines.line)
                .limit(_PAGE)
            )
            with self._database.begin() as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield from rows
            after = rows[-1].line

    async def end(
        self,
        batch_id: str,
        status: BatchStatus,
        outputs: StoredFile | None,
        errors: StoredFile | None,
    ) -> None:
        """End the batch: the result files become visible, and the lines are deleted."""

        def work(connection: Connection) -> None:
            self._clear(connection, batch_id)
            for file in (outputs, errors):
                if file is not None:
                    connection.execute(self._files.row(file))
            self._changed(
                connection,
                batch_id,
                status=status,
                output_file_id=outputs and outputs.id,
                error_file_id=errors and errors.id,
                lease_owner=None,
                **{_ENDS[status]: self._now()},
            )

        await self._database.run(work)

    def _held(self, connection: Connection, batch_id: str) -> Row[Any]:
        # The row lock keeps other runners from taking the batch before this transaction ends.
        wanted = select(batches).where(self._mine(batch_id)).with_for_update()
        row = connection.execute(wanted).one_or_none()
        if row is None:
            raise ConflictError(f"another adapter works on batch {batch_id!r}")
        return row

    def _changed(self, connection: Connection, batch_id: str, **values: Any) -> Row[Any]:
        changed = update(batches).where(self._mine(batch_id)).values(values).returning(batches)
        row = connection.execute(changed).one_or_none()
        if row is None:
            raise ConflictError(f"another adapter works on batch {batch_id!r}")
        return row

    def _clear(self, connection: Connection, batch_id: str) -> Row[Any]:
        row = self._held(connection, batch_id)
        connection.execute(delete(batch_lines).where(batch_lines.c.batch_id == batch_id))
        return row

    def _mine(self, batch_id: str) -> ColumnElement[bool]:
        mine: ColumnElement[bool] = batches.c.lease_owner == self.owner
        return mine & (batches.c.id == batch_id)
