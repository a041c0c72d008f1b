from __future__ import annotations

import asyncio
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import pytest
from enginehouse.gateway.ledger.stage import UsageLedger
from enginehouse.gateway.tracing.bounded import BoundedLabels
from enginehouse.gateway.tracing.call_metrics import CallMetrics
from enginehouse.gateway.tracing.measured import Measured
from prometheus_client import CollectorRegistry

from tests.gateway.ledger.ledger_calls import engine, new_call, opened, rows
from tests.gateway.through import through


@pytest.mark.parametrize("pieces", [1, 3, 250])
@pytest.mark.parametrize("taken", [1, None])
def test_the_metric_says_what_the_ledger_says(
    tmp_path: Path, pieces: int, taken: int | None
) -> None:
    url = f"sqlite:///{tmp_path / 'endpoint.db'}"
    page = CollectorRegistry()

    async def scenario() -> None:
        async with opened(url, tmp_path) as (ledger, _):
            stages = [Measured(CallMetrics(page), BoundedLabels(5)), UsageLedger(ledger)]
            for number in range(3):
                behind = engine(["a"] * pieces, prompt=1000 + number)
                async with aclosing(through(stages, new_call(f"c-{number}"), behind)) as answer:
                    left = taken
                    async for _ in answer:
                        left = None if left is None else left - 1
                        if left == 0:
                            break

    asyncio.run(scenario())
    ledger_units = sum(Decimal(row["cost_micros"]) for row in rows(url)) / 1_000_000
    # 2 and 10 of the currency for a million tokens: a thousandth a call, not thousands.
    assert Decimal("0.006") < ledger_units < Decimal("0.02")
    metric = page.get_sample_value(
        "enginehouse_cost_by_tenant_total", {"tenant": "acme", "model": "smollm2"}
    )
    assert metric == pytest.approx(float(ledger_units))
