"""Routes and metrics, from an application that is started with every stage switched on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enginehouse.api.app import create_app
from prometheus_client.metrics import MetricWrapperBase
from starlette.testclient import TestClient

from docs.reference_from_code.markdown import code, sentence, table
from enginehouse.settings import load_settings

#: Switches on what brings metrics of its own.
_FILE: dict[str, Any] = {
    "limits": {"default": {"requests_per_minute": 600}},
    "ledger": {"enabled": True},
    "audit": {"enabled": True},
    "content": {"input": [{"type": "pii"}]},
    "cache": {"enabled": True},
    "fallback": {"chains": {"m": {"targets": [{"model": "m@1"}]}}},
}
_ROUTES_HEAD = """# Routes

Made from the application. The whole OpenAPI document, with the fields of every request and answer,
is at `/openapi.json` of a running adapter. Which role a route needs is in
[keys](../keys.md#who-may-ask-what).

"""
_TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as the metrics page names it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True)
class Application:
    """What an application says of itself.

    Attributes:
        openapi: its OpenAPI document.
    """

    openapi: dict[str, Any]
    metrics: tuple[Metric, ...]


def inspect_application() -> Application:
    """Start an application in a directory of its own, without a fleet, and ask it."""
    with tempfile.TemporaryDirectory() as home, _recorded() as made:
        Path(home, "endpoint.yaml").write_text(json.dumps(_FILE), encoding="utf-8")
        environ = {"ENGINEHOUSE_HOME": home, "ENGINEHOUSE_TRITON_GRPC_PORT": "1"}
        app = create_app(load_settings(environ, cwd=Path(home)))
        with TestClient(app):
            document = app.openapi()
    return Application(document, tuple(sorted(made.values(), key=lambda each: each.name)))


@contextmanager
def _recorded() -> Iterator[dict[str, Metric]]:
    """Names → metrics that are made meanwhile."""
    made: dict[str, Metric] = {}
    original = MetricWrapperBase.__init__

    def record(self: MetricWrapperBase, *args: Any, **more: Any) -> None:
        original(self, *args, **more)
        kind = _TYPES[type(self).__name__]
        name = f"{self._name}_total" if kind == "counter" else self._name
        made[name] = Metric(name, kind, tuple(self._labelnames), self._documentation)

    MetricWrapperBase.__init__ = record  # type: ignore[method-assign]
    try:
        yield made
    finally:
        MetricWrapperBase.__init__ = original  # type: ignore[method-assign]


def routes_page(openapi: dict[str, Any]) -> str:
    """Every route of the adapter."""
    rows = [
        [code(f"{method.upper()} {path}"), sentence(operation.get("description", ""))]
        for path, operations in sorted(openapi["paths"].items())
        for method, operation in operations.items()
    ]
    return _ROUTES_HEAD + table(["route", "what it does"], rows)
