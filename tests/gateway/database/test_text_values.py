"""What PostgreSQL cannot store becomes U+FFFD, on SQLite too."""

from __future__ import annotations

import pytest
from enginehouse.gateway.batches.tables import batch_lines
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.database.text_values import storable
from enginehouse.gateway.ledger.records import UsageOutcome, UsageRecord
from enginehouse.gateway.ledger.tables import insert_once, usage
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

_ANY = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize("character", ["\0", chr(0xD800), chr(0xDFFF)])
def test_a_text_is_kept_and_found_again(empty_url: str, character: str) -> None:
    database = Database(empty_url)
    record = UsageRecord(
        id="one", request_id=f"a{character}b", at_ms=1, tenant="acme", key_id=None, model="m",
        version=1, source="engine", endpoint="chat", prompt_tokens=1, completion_tokens=1,
        cached_tokens=0, seconds=0.1, prompt_micros=None, cached_micros=None,
        completion_micros=None, currency="USD", cost_micros=0, outcome=UsageOutcome.COMPLETED,
    )  # fmt: skip
    row = {"batch_id": "b", "request": "{}", "state": "pending"}
    ids = [f"one{character}", f"two{character}"]
    rows = [{**row, "line": n, "custom_id": name} for n, name in enumerate(ids)]
    with database.begin() as connection:
        assert insert_once(connection, [record]) == 1
        assert connection.execute(select(usage.c.request_id)).scalar_one() == "a\ufffdb"
        connection.execute(insert(batch_lines), rows)
        wanted = select(batch_lines.c.line).where(batch_lines.c.custom_id == ids[1])
        assert connection.execute(wanted).scalar_one() == 1
    database.close()


@given(_ANY)
def test_every_text_becomes_storable_and_keeps_its_length(text: str) -> None:
    found = storable(text)
    assert "\0" not in found
    found.encode()
    assert len(found) == len(text)
    assert found == text or set(text) & set("\0") or not text.isascii()


def test_parameters_keep_their_shape() -> None:
    assert storable([("a\0", 1), {"b": b"\0"}, None]) == [("a\ufffd", 1), {"b": b"\0"}, None]
