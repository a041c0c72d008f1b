"""Opens the key store for the command line and shows keys; imported on demand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import typer
from enginehouse.cli.common import console, current_settings, print_json, say
from enginehouse.gateway.access.keys import IssuedKey, KeyStore
from enginehouse.gateway.access.records import ApiKey
from enginehouse.gateway.access.secret import Pepper
from enginehouse.gateway.access.views import IssuedKeyView, KeyView
from enginehouse.gateway.database.database import Database
from rich.table import Table


@contextmanager
def open_keys() -> Iterator[KeyStore]:
    """Open the key store in the endpoint's database.

    Raises:
        StoreError: if it cannot be opened.
        SettingsError: if the pepper's file cannot be used.
    """
    settings = current_settings()
    database = Database(settings.database_url)
    try:
        yield KeyStore(database, Pepper.of(settings))
    finally:
        database.close()


def show_issued(issued: IssuedKey, *, as_json: bool) -> None:
    """Print the secret to stdout and everything else to stderr, so that it can be piped."""
    now = time.time()
    if as_json:
        print_json(IssuedKeyView.issued(issued, now).model_dump(mode="json"))
        return
    key = issued.key
    say(f"key {key.id} of {key.tenant}: {', '.join(sorted(key.roles))}; expires {_expiry(key)}")
    if key.previous_until is not None:
        say(f"the old secret is valid for {key.previous_until - now:.0f} s more")
    say("keep it now: it is not stored and cannot be shown again")
    typer.echo(issued.text)


def show_keys(keys: Sequence[ApiKey], *, as_json: bool) -> None:
    """Print keys as a table or as JSON."""
    now = time.time()
    if as_json:
        print_json([KeyView.of(key, now).model_dump(mode="json") for key in keys])
        return
    table = Table()
    table.add_column("id", no_wrap=True)
    for name in ("tenant", "roles", "models", "state", "expires", "last used", "note"):
        table.add_column(name)
    for key in keys:
        table.add_row(*_row(key, now))
    console.print(table)


def _row(key: ApiKey, now: float) -> tuple[str, ...]:
    return (
        key.id,
        key.tenant,
        ", ".join(sorted(key.roles)),
        "all" if key.models is None else ", ".join(sorted(key.models)),
        key.state(now).value,
        _expiry(key),
        "never" if key.last_used_at is None else _local(key.last_used_at),
        key.note,
    )


def _expiry(key: ApiKey) -> str:
    return "never" if key.expires_at is None else _local(key.expires_at)


def _local(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC).astimezone():%Y-%m-%d %H:%M}"
