"""Usage reports: sums, grouped by chosen columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from enginehouse.gateway.ledger.prices import units
from enginehouse.gateway.ledger.tables import NO_KEY, NO_VERSION, SUMS, usage_day
from sqlalchemy import Connection, func, select

from enginehouse.errors import InvalidRequestError

_EPOCH = date(1970, 1, 1)


class UsageGrouping(StrEnum):
    """A column by which a report can be grouped."""

    TENANT = "tenant"
    KEY = "key"
    MODEL = "model"
    VERSION = "version"
    SOURCE = "source"
    ENDPOINT = "endpoint"
    OUTCOME = "outcome"
    DAY = "day"


_COLUMNS = {
    by: usage_day.c["key_id" if by is UsageGrouping.KEY else by.value] for by in UsageGrouping
}


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which usage to sum, and how.

    Attributes:
        since: first day, UTC; None means the beginning.
        until: last day, UTC, inclusive; None means today.
    """

    tenant: str | None = None
    key: str | None = None
    model: str | None = None
    since: date | None = None
    until: date | None = None
    by: Sequence[UsageGrouping] = (UsageGrouping.TENANT, UsageGrouping.MODEL)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One row of a report.

    Attributes:
        groups: values of the requested grouping columns: text, a number, or None.
        cost_micros: cost in micro-units of `currency`; each currency has a row of its own.
    """

    groups: dict[str, Any]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    seconds: float
    cost_micros: int
    currency: str

    def as_json(self) -> dict[str, Any]:
        """A flat JSON object; `cost` is an exact decimal number as text."""
        return {
            **self.groups,
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
            "seconds": round(self.seconds, 3),
            "cost": f"{units(self.cost_micros):.6f}",
            "currency": self.currency,
        }


def parse_by(text: str) -> tuple[UsageGrouping, ...]:
    """Parse a list of columns such as ``tenant,model,day``.

    Raises:
        InvalidRequestError: naming a word that is not a column.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = {by.value for by in UsageGrouping}
    for name in names:
        if name not in known:
            raise InvalidRequestError(
                f"by is {text!r}, and {name!r} is not one of {', '.join(sorted(known))}", field="by"
            )
    return tuple(dict.fromkeys(UsageGrouping(name) for name in names))


def usage_report(connection: Connection, query: UsageQuery) -> list[UsageRow]:
    """The rows of a report, sorted by their groups."""
    table = usage_day.c
    groups = [_COLUMNS[by] for by in query.by]
    sums = [func.sum(table[name]) for name in SUMS]
    wanted = {"tenant": query.tenant, "key_id": query.key, "model": query.model}
    found = select(*groups, table.currency, *sums).group_by(*groups, table.currency)
    for name, value in wanted.items():
        if value is not None:
            found = found.where(table[name] == value)
    if query.since is not None:
        found = found.where(table.day >= (query.since - _EPOCH).days)
    if query.until is not None:
        found = found.where(table.day <= (query.until - _EPOCH).days)
    rows = connection.execute(found.order_by(*groups, table.currency)).all()
    return [_row(query.by, list(row)) for row in rows]


def _row(by: Sequence[UsageGrouping], values: list[Any]) -> UsageRow:
    groups = {name.value: _shown(name, value) for name, value in zip(by, values, strict=False)}
    currency, requests, prompt, completion, cached, seconds, cost = values[len(by) :]
    return UsageRow(
        groups, int(requests), int(prompt), int(completion), int(cached), float(seconds),
        int(cost), currency,
    )  # fmt: skip


def _shown(by: UsageGrouping, value: Any) -> Any:
    if by is UsageGrouping.DAY:
        return (_EPOCH + timedelta(days=value)).isoformat()
    if (by is UsageGrouping.KEY and value == NO_KEY) or (
        by is UsageGrouping.VERSION and value == NO_VERSION
    ):
        return None
    return value


def as_csv(rows: Sequence[UsageRow], by: Sequence[UsageGrouping]) -> str:
    """The rows as CSV with a header; lines end with a line feed."""
    empty = UsageRow({name.value: None for name in by}, 0, 0, 0, 0, 0.0, 0, "")
    out = io.StringIO()
    writer = csv.DictWriter(out, list(empty.as_json()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.as_json() for row in rows)
    return out.getvalue()
