"""Every metric of the adapter, and of the engine on Triton's page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from enginehouse.engine.stats import LoopStats
from enginehouse.engine.triton_metrics import TritonMetrics

from docs.reference_from_code.application import Metric
from docs.reference_from_code.markdown import code, table

_HEAD = """# Metrics

Made from the code. What the families are for, and NVIDIA's names, is explained in
[observability](../observability.md).

## The adapter's page

`http://127.0.0.1:8080/metrics`, with every stage switched on.

"""
_ENGINE = """
## The engine, on Triton's page

`http://127.0.0.1:8002/metrics`, beside Triton's own. Labels: `model`, `version`, `instance`.

"""
_COLUMNS = ["metric", "type", "labels", "of what"]


class _Families:
    """In the place of Triton's `pb_utils`: notes what is registered."""

    def __init__(self) -> None:
        self.made: list[Metric] = []

    class MetricFamily:
        """Kinds, as Triton has them."""

        GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"

        def __init__(self, name: str, description: str, kind: str) -> None:
            _noted.append(Metric(name, kind, (), description))

        def Metric(self, **_: Any) -> None:  # noqa: N802 - Triton's name
            """Nothing is counted here."""


_noted: list[Metric] = []


def page(metrics: Iterable[Metric]) -> str:
    """The page of all metrics."""
    TritonMetrics(_Families, "", "", "")
    engine = [[code(each.name), each.kind, each.meaning] for each in _noted]
    adapter = [
        [code(each.name), each.kind, ", ".join(map(code, each.labels)), each.meaning]
        for each in metrics
    ]
    assert LoopStats  # noqa: S101 - the figures behind them
    return _HEAD + table(_COLUMNS, adapter) + _ENGINE + table(["metric", "type", "of what"], engine)
