"""Batches as callers see them: create, get, list, cancel."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from enginehouse.api.caller import Caller, Role
from enginehouse.gateway.batches.config import BatchesConfig
from enginehouse.gateway.batches.files import FileStore, beyond
from enginehouse.gateway.batches.tables import OPEN, BatchStatus, batches
from enginehouse.gateway.database.database import Database
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from enginehouse.errors import ConflictError, InvalidRequestError, NotFoundError, RateLimitError

#: `completion_window` → seconds.
WINDOWS_S = {"24h": 86_400.0}
_TIMES = (
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


class BatchStore:
    """Batches of all tenants; every query is restricted to one tenant."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        config: BatchesConfig,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._files = files
        self._config = config
        self._now = now

    async def create(
        self,
        caller: Caller,
        *,
        endpoint: str,
        input_file_id: str,
        window: str,
        metadata: Mapping[str, str] | None = None,
        outputs_expire_s: float | None = None,
    ) -> dict[str, Any]:
        """Create a batch of a file's requests; its lines are validated in the background.

        Raises:
            InvalidRequestError: if there is no such file for batches.
            RateLimitError: if the tenant has too many batches that have not ended.
            StoreError: if the database fails.
        """
        await self._check_file(caller.tenant, input_file_id)
        now = self._now()
        values = {
            "id": f"batch_{uuid.uuid4().hex}",
            "tenant": caller.tenant,
            "caller": _dumped(caller),
            "endpoint": endpoint,
            "input_file_id": input_file_id,
            "outputs_expire_s": outputs_expire_s,
            "metadata": orjson.dumps(metadata).decode() if metadata else None,
            "status": BatchStatus.VALIDATING,
            "created_at": now,
            "expires_at": now + WINDOWS_S[window],
        }

        def work(connection: Connection) -> Row[Any]:
            self._check_open(connection, caller.tenant)
            connection.execute(insert(batches).values(values))
            return connection.execute(_one(caller.tenant, str(values["id"]))).one()

        return as_json(await self._database.run(work))

    async def get(self, tenant: str, batch_id: str) -> dict[str, Any]:
        """OpenAI's batch object.

        Raises:
            NotFoundError: if the tenant has no such batch.
            StoreError: if the database fails.
        """
        return as_json(await self._database.run(lambda c: _found(c, tenant, batch_id)))

    async def page(
        self, tenant: str, *, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Batches, newest first, and whether there are more.

        Raises:
            NotFoundError: if there is no batch `after`.
            StoreError: if the database fails.
        """
        place = (batches.c.created_at, batches.c.id)

        def work(connection: Connection) -> list[Row[Any]]:
            wanted = select(batches).where(batches.c.tenant == tenant)
            if after is not None:
                last = _found(connection, tenant, after)
                wanted = wanted.where(beyond(*place, last.created_at, last.id, newest_first=True))
            wanted = wanted.order_by(*(column.desc() for column in place)).limit(limit + 1)
            return list(connection.execute(wanted).all())

        rows = await self._database.run(work)
        return [as_json(row) for row in rows[:limit]], len(rows) > limit

    async def cancel(self, tenant: str, batch_id: str) -> dict[str, Any]:
        """Cancel a batch: no further line is started.

        Raises:
            NotFoundError: if the tenant has no such batch.
            ConflictError: if it has ended, or its results are being written.
            StoreError: if the database fails.
        """

        def work(connection: Connection) -> Row[Any]:
            running = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)
            changed = (
                update(batches)
                .where(batches.c.id == batch_id, batches.c.tenant == tenant)
                .where(batches.c.status.in_(running))
                .values(status=BatchStatus.CANCELLING, cancelling_at=self._now())
            )
            cancelled = connection.execute(changed).rowcount
            row = _found(connection, tenant, batch_id)
            if not cancelled and row.status not in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
                raise ConflictError(f"batch {batch_id!r} is {row.status}: it cannot be cancelled")
            return row

        return as_json(await self._database.run(work))

    async def sweep(self) -> None:
        """Delete batches that ended more than the configured time ago.

        Raises:
            StoreError: if the database fails.
        """
        old = delete(batches).where(
            batches.c.status.not_in(OPEN), batches.c.expires_at <= self._now() - self._config.keep_s
        )
        await self._database.run(lambda connection: connection.execute(old))

    async def _check_file(self, tenant: str, file_id: str) -> None:
        try:
            file = await self._files.get(tenant, file_id)
        except NotFoundError as error:
            raise InvalidRequestError(str(error), field="input_file_id") from None
        if file.purpose != "batch":
            raise InvalidRequestError(
                f"file {file_id!r} has the purpose {file.purpose}: upload one with purpose=batch",
                field="input_file_id",
            )

    def _check_open(self, connection: Connection, tenant: str) -> None:
        count = select(func.count()).where(batches.c.tenant == tenant, batches.c.status.in_(OPEN))
        if connection.execute(count).scalar_one() >= self._config.max_open:
            raise RateLimitError(
                f"{self._config.max_open} batches of the tenant have not ended: wait for one, or "
                "cancel one",
                retry_after_s=self._config.retry_most_s,
            )


def as_json(row: Row[Any]) -> dict[str, Any]:
    """OpenAI's batch object."""
    times = {name: getattr(row, name) for name in _TIMES}
    errors = orjson.loads(row.errors) if row.errors else None
    counts = {"total": row.total, "completed": row.completed, "failed": row.failed}
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "model": row.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": row.input_file_id,
        "completion_window": "24h",
        "status": row.status,
        "output_file_id": row.output_file_id,
        "error_file_id": row.error_file_id,
        **{name: None if at is None else int(at) for name, at in times.items()},
        "request_counts": counts,
        "usage": {
            "input_tokens": row.input_tokens,
            "input_tokens_details": {"cached_tokens": row.cached_tokens},
            "output_tokens": row.output_tokens,
            "output_tokens_details": {"reasoning_tokens": row.reasoning_tokens},
            "total_tokens": row.input_tokens + row.output_tokens,
        },
        "metadata": orjson.loads(row.metadata) if row.metadata else None,
    }


def _one(tenant: str, batch_id: str) -> Any:
    return select(batches).where(batches.c.id == batch_id, batches.c.tenant == tenant)


def _found(connection: Connection, tenant: str, batch_id: str) -> Row[Any]:
    row: Row[Any] | None = connection.execute(_one(tenant, batch_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"no batch {batch_id!r}", field="batch_id")
    return row


def _dumped(caller: Caller) -> str:
    """Serialize the creator of a batch, so that its lines can be run for it."""
    models = None if caller.models is None else sorted(caller.models)
    return orjson.dumps(
        {
            "tenant": caller.tenant,
            "key_id": caller.key_id,
            "roles": sorted(caller.roles),
            "models": models,
        }
    ).decode()


def caller_from(text: str) -> Caller:
    """The creator of a batch."""
    given = orjson.loads(text)
    return Caller(
        tenant=given["tenant"],
        key_id=given["key_id"],
        roles=frozenset(Role(role) for role in given["roles"]),
        models=None if given["models"] is None else frozenset(given["models"]),
    )
