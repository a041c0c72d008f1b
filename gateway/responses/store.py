"""Stored responses. Each row contains only its own items; a conversation is a chain of rows.

No text is stored twice, so a deletion removes it completely. A response lives at least as long as
the responses that continue it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from enginehouse.gateway.database.database import Database, metadata
from enginehouse.gateway.database.schema import own_tables
from enginehouse.gateway.database.sweeper import sweeping
from enginehouse.gateway.responses.config import ResponsesConfig
from enginehouse.gateway.responses.stored import StoredItem
from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    literal,
    select,
    update,
)

from enginehouse.errors import InvalidRequestError, NotFoundError

responses = Table(
    "responses",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(255), nullable=False),
    Column("previous_id", String(64)),
    Column("created_at", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("body", Text, nullable=False),
    Column("items", Text, nullable=False),
    Index("responses_by_expiry", "expires_at"),
)

#: Item id → the response that contains it, in its `items` or its `body`.
response_items = Table(
    "response_items",
    metadata,
    Column("item_id", String(256), primary_key=True),
    Column(
        "response_id",
        String(64),
        ForeignKey("responses.id", ondelete="CASCADE"),
        primary_key=True,
        index=True,
    ),
)
own_tables("responses", __file__, responses, response_items)


@dataclass(frozen=True, slots=True)
class ResponseChain:
    """A conversation up to a response.

    Attributes:
        ids: ids of its responses, newest first.
        items: all input and output items, oldest first.
    """

    ids: tuple[str, ...] = ()
    items: tuple[StoredItem, ...] = ()


class ResponseStore:
    """Responses of all tenants; every query is restricted to one tenant."""

    def __init__(
        self, database: Database, keep_s: float, *, now: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._keep_s = keep_s
        self._now = now

    async def save(
        self, tenant: str, body: dict[str, Any], items: list[StoredItem], chain: ResponseChain
    ) -> None:
        """Store a response with its own items, and extend the lifetime of those it continues.

        Raises:
            StoreError: if the database fails.
        """
        row = {
            "id": body["id"],
            "tenant": tenant,
            "previous_id": body["previous_response_id"],
            "created_at": body["created_at"],
            "expires_at": self._now() + self._keep_s,
            "body": orjson.dumps(body).decode(),
            "items": orjson.dumps(items).decode(),
        }

        def work(connection: Connection) -> None:
            connection.execute(insert(responses).values(row))
            ids = {item["id"] for item in [*items, *body["output"]]}
            if ids:
                rows = [{"item_id": item, "response_id": body["id"]} for item in sorted(ids)]
                connection.execute(insert(response_items), rows)
            if chain.ids:
                connection.execute(
                    update(responses)
                    .where(responses.c.id.in_(chain.ids), responses.c.tenant == tenant)
                    .values(expires_at=row["expires_at"])
                )

        await self._database.run(work)

    async def body(self, tenant: str, response_id: str) -> dict[str, Any]:
        """A response as it was returned.

        Raises:
            NotFoundError: if this tenant has no such response, or it has expired.
            StoreError: if the database fails.
        """
        body, _ = await self._one(tenant, response_id)
        return body

    async def items(self, tenant: str, response_id: str) -> list[StoredItem]:
        """Items of the request, oldest first; errors as `body`."""
        _, items = await self._one(tenant, response_id)
        return items

    async def chain(self, tenant: str, response_id: str) -> ResponseChain:
        """The conversation that ends with a response.

        Raises:
            InvalidRequestError: if one of its responses does not exist or has expired.
            StoreError: if the database fails.
        """
        # Responses refer only to older ones, so the recursion ends.
        first = _alive(tenant, self._now()).where(responses.c.id == response_id)
        found = first.add_columns(literal(0).label("depth")).cte("chain", recursive=True)
        older = responses.alias("older")
        found = found.union_all(
            select(older, (found.c.depth + 1).label("depth")).where(
                older.c.id == found.c.previous_id,
                older.c.tenant == tenant,
                older.c.expires_at > self._now(),
            )
        )
        rows = await self._database.run(
            lambda connection: connection.execute(select(found).order_by(found.c.depth)).all()
        )
        missing = rows[-1].previous_id if rows else response_id
        if missing is not None:
            raise InvalidRequestError(
                f"previous_response_id {response_id!r}: no response {missing!r} is stored; it was "
                "deleted, has expired, was made with store: false or was cut off: send the "
                "conversation as input",
                field="previous_response_id",
            )
        items: list[StoredItem] = []
        for row in reversed(rows):
            items += orjson.loads(row.items)
            items += orjson.loads(row.body)["output"]
        return ResponseChain(tuple(row.id for row in rows), tuple(items))

    async def referred(self, tenant: str, wanted: Mapping[str, str]) -> dict[str, StoredItem]:
        """Stored items by id.

        Args:
            wanted: id → the field of the request that contains it.

        Raises:
            NotFoundError: if this tenant has no such item, or it has expired.
            StoreError: if the database fails.
        """
        if not wanted:
            return {}
        chosen = (
            _alive(tenant, self._now())
            .join(response_items, response_items.c.response_id == responses.c.id)
            .where(response_items.c.item_id.in_(wanted))
        )
        rows = await self._database.run(lambda connection: connection.execute(chosen).all())
        found: dict[str, StoredItem] = {}
        # If an item was sent repeatedly, the newest response's version counts.
        for row in sorted(rows, key=lambda row: row.created_at):
            for item in [*orjson.loads(row.items), *orjson.loads(row.body)["output"]]:
                if item["id"] in wanted:
                    found[item["id"]] = item
        for item_id, place in wanted.items():
            if item_id not in found:
                raise NotFoundError(
                    f"item {item_id!r} not found: items are not kept where store is false; send "
                    "the item itself, or leave it out",
                    field=place,
                )
        return found

    async def delete(self, tenant: str, response_id: str) -> None:
        """Delete a response; those that continue it cannot be continued any more.

        Errors as `body`.
        """
        chosen = delete(responses).where(
            responses.c.id == response_id,
            responses.c.tenant == tenant,
            responses.c.expires_at > self._now(),
        )
        if not await self._database.run(lambda connection: connection.execute(chosen).rowcount):
            raise _unknown(response_id)

    async def sweep(self) -> int:
        """Remove expired responses; returns their number.

        Raises:
            StoreError: if the database fails.
        """
        old = delete(responses).where(responses.c.expires_at <= self._now())
        return await self._database.run(lambda connection: connection.execute(old).rowcount)

    async def _one(self, tenant: str, response_id: str) -> tuple[dict[str, Any], list[StoredItem]]:
        wanted = _alive(tenant, self._now()).where(responses.c.id == response_id)
        row = await self._database.run(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            raise _unknown(response_id)
        return orjson.loads(row.body), orjson.loads(row.items)


def _alive(tenant: str, now: float) -> Any:
    return select(responses).where(responses.c.tenant == tenant, responses.c.expires_at > now)


def _unknown(response_id: str) -> NotFoundError:
    return NotFoundError(
        f"no response {response_id!r} is stored: it was deleted, has expired, or was made "
        "with store: false",
        field="response_id",
    )


@asynccontextmanager
async def open_responses(
    database: Database, config: ResponsesConfig
) -> AsyncIterator[ResponseStore]:
    """Open the store, and remove expired responses regularly while it is open."""
    store = ResponseStore(database, config.keep_s)
    async with sweeping(config.sweep_every_s, store.sweep):
        yield store
