"""`enginehouse usage`."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from enginehouse.cli.common import JsonOption, console, current_settings, print_json, say
from rich.table import Table

from enginehouse.errors import SettingsError

if TYPE_CHECKING:
    from enginehouse.gateway.ledger.report import UsageGrouping, UsageRow

_DAY = "%Y-%m-%d"


def usage(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only this key id.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=[_DAY], help="First day, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=[_DAY], help="Last day, UTC, included.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by", help="Of tenant, key, model, version, source, endpoint, outcome, day."
        ),
    ] = "tenant,model",
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Report usage and cost by tenant, key, model or other dimensions.

    Example: `enginehouse usage --since 2026-11-01 --by tenant,day --csv`
    """
    # SQLAlchemy's import would delay every command by a quarter of a second.
    from enginehouse.gateway.database.database import Database
    from enginehouse.gateway.ledger import report, spool

    if as_json and as_csv:
        raise SettingsError("--json and --csv: give one of them")
    groups = report.parse_by(by)
    query = report.UsageQuery(tenant, key, model, _date(since), _date(until), groups)
    settings = current_settings()
    database = Database(settings.database_url)
    try:
        with database.begin() as connection:
            rows = report.usage_report(connection, query)
    finally:
        database.close()
    if left := spool.waiting(settings.ledger_dir):
        say(f"{left} calls in {settings.ledger_dir} are not in the database yet")
    if as_json:
        print_json([row.as_json() for row in rows])
    elif as_csv:
        typer.echo(report.as_csv(rows, groups), nl=False)
    else:
        console.print(_table(rows, groups))


def _date(value: datetime | None) -> date | None:
    return None if value is None else value.date()


def _table(rows: list[UsageRow], groups: tuple[UsageGrouping, ...]) -> Table:
    table = Table()
    for group in groups:
        table.add_column(group, overflow="fold")
    for column in ("requests", "prompt", "cached", "completion", "seconds", "cost"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            *("-" if value is None else str(value) for value in row.groups.values()),
            f"{row.requests:,}",
            f"{row.prompt_tokens:,}",
            f"{row.cached_tokens:,}",
            f"{row.completion_tokens:,}",
            f"{row.seconds:,.1f}",
            f"{row.as_json()['cost']} {row.currency}",
        )
    return table
