from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from enginehouse.api.errors import install_error_handlers
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.ledger.routes import router
from enginehouse.gateway.ledger.spending import LedgerSpending
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.conftest import call_cli, run_cli, stack_env
from tests.gateway.ledger.ledger_calls import drain, engine, new_call, opened

_FIRST = datetime(2026, 11, 1, tzinfo=UTC)
_LATE = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
_NEXT = datetime(2026, 11, 21, 0, 0, 1, tzinfo=UTC)
_BEFORE = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)


def _fill(url: str, directory: Path) -> None:
    """Five calls: 100 tokens of prompt, 1 of answer; 210 micro-dollars each."""

    async def scenario() -> None:
        async with opened(url, directory) as (ledger, _):
            for at, tenant, key_id in (
                (_BEFORE, "acme", "k1"),
                (_FIRST, "acme", "k1"),
                (_LATE, "acme", "k2"),
                (_NEXT, "acme", "k1"),
                (_NEXT, "other", None),
            ):
                call = new_call(tenant=tenant, key_id=key_id, at=at.timestamp())
                await drain(ledger, call, engine(["a"]))

    asyncio.run(scenario())


def test_budgets_see_the_days_and_months_of_utc(database_url: str, tmp_path: Path) -> None:
    _fill(database_url, tmp_path)

    async def scenario() -> list[tuple[int, int, float, float]]:
        spending = LedgerSpending(Database(database_url), "USD")
        asked = [("acme", None), ("acme", "k1"), ("acme", "k2"), ("nobody", None)]
        found = [await spending.spent(*who, now=_NEXT) for who in asked]
        return [(s.day_tokens, s.month_tokens, s.day_cost, s.month_cost) for s in found]

    assert asyncio.run(scenario()) == [
        (101, 303, 0.00021, 0.00063),
        (101, 202, 0.00021, 0.00042),
        (0, 101, 0.0, 0.00021),
        (0, 0, 0.0, 0.0),
    ]


def test_money_of_an_earlier_currency_is_not_added_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'e.db'}"
    _fill(url, tmp_path)
    spent = asyncio.run(LedgerSpending(Database(url), "EUR").spent("acme", None, now=_NEXT))
    assert (spent.month_tokens, spent.month_cost) == (303, 0.0)


@contextmanager
def _client(url: str, directory: Path, *, ledger_on: bool = True) -> Iterator[TestClient]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(router)

    stack = opened(url, directory)
    with TestClient(app) as client:
        if ledger_on:
            assert client.portal is not None
            ledger, _ = client.portal.call(stack.__aenter__)
            app.state.ledger = ledger
        yield client
        if ledger_on:
            assert client.portal is not None
            client.portal.call(stack.__aexit__, None, None, None)


def test_the_admin_route_sums_by_what_is_asked(database_url: str, tmp_path: Path) -> None:
    _fill(database_url, tmp_path)
    with _client(database_url, tmp_path) as client:
        query = {"since": "2026-11-01", "until": "2026-11-20", "by": "tenant,key,day"}
        found = client.get("/admin/usage", params=query).json()
        sums = {
            "requests": 1, "prompt_tokens": 100, "completion_tokens": 1, "cached_tokens": 0,
            "cost": "0.000210", "currency": "USD",
        }  # fmt: skip
        for line in found["data"]:
            assert line.pop("seconds") >= 0
        assert found["data"] == [
            {"tenant": "acme", "key": "k1", "day": "2026-11-01", **sums},
            {"tenant": "acme", "key": "k2", "day": "2026-11-20", **sums},
        ]
        keyless = client.get("/admin/usage", params={"tenant": "other", "by": "key,version"})
        assert [(row["key"], row["version"]) for row in keyless.json()["data"]] == [(None, 7)]
        total = client.get("/admin/usage", params={"by": "", "format": "csv"})
        assert total.headers["content-type"].startswith("text/csv")
        (line,) = csv.DictReader(io.StringIO(total.text))
        assert (line["requests"], line["cost"]) == ("5", "0.001050")


@pytest.mark.parametrize(
    ("query", "message"),
    [({"by": "tenant,colour"}, "'colour' is not one of"), ({"since": "yesterday"}, "since")],
)
def test_a_query_that_means_nothing_is_refused_by_name(
    tmp_path: Path, query: dict[str, str], message: str
) -> None:
    with _client(f"sqlite:///{tmp_path / 'e.db'}", tmp_path) as client:
        answer = client.get("/admin/usage", params=query)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_ledger_that_is_off_says_how_to_turn_it_on(tmp_path: Path) -> None:
    with _client(f"sqlite:///{tmp_path / 'e.db'}", tmp_path, ledger_on=False) as client:
        answer = client.get("/admin/usage")
    assert answer.status_code == 404
    assert "ledger.enabled" in answer.json()["error"]["message"]


def test_the_command_prints_json_csv_and_a_table(tmp_path: Path) -> None:
    _fill(f"sqlite:///{tmp_path / 'endpoint.db'}", tmp_path)
    env = stack_env(tmp_path) | {"COLUMNS": "160"}
    arguments = ("usage", "--tenant", "acme", "--since", "2026-11-01", "--by", "tenant,day")
    as_json = call_cli(env, *arguments, "--json")
    assert as_json.returncode == 0, as_json.stderr
    found = json.loads(as_json.stdout)
    assert [(row["day"], row["requests"]) for row in found] == [
        ("2026-11-01", 1), ("2026-11-20", 1), ("2026-11-21", 1),
    ]  # fmt: skip
    as_csv = call_cli(env, *arguments, "--csv")
    assert [row["day"] for row in csv.DictReader(io.StringIO(as_csv.stdout))] == [
        "2026-11-01", "2026-11-20", "2026-11-21",
    ]  # fmt: skip
    # In a process of its own: the width of this one's terminal is settled.
    table = run_cli(env, *arguments)
    assert "2026-11-20" in table.stdout
    assert "not in the database yet" not in table.stderr
    left = Path(env["ENGINEHOUSE_HOME"]) / "ledger" / "usage-spool.left.jsonl"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"{}\n{}\n")
    assert "2 calls in " in call_cli(env, *arguments).stderr
    refused = call_cli(env, "usage", "--by", "colour")
    assert refused.returncode == 1
    assert "'colour' is not one of" in refused.stderr
