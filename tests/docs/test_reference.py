"""The reference is made from the code, and the pages name only what is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.reference_from_code import (
    commands,
    endpoint_file,
    errors,
    events,
    metrics,
    settings,
)
from docs.reference_from_code.application import Application, inspect_application, routes_page
from docs.reference_from_code.outside import outside
from enginehouse.errors import BudgetError
from enginehouse.settings import variables

_DOCS = Path(__file__).parents[2] / "docs"
_METRIC = re.compile(
    r"\benginehouse_\w+(?:_total|_seconds|_ratio|_failing|_away|_depth|_used|_open|_entries)\b"
)
_VARIABLE = re.compile(r"\bENGINEHOUSE_[A-Z0-9_]*[A-Z0-9]\b(?![<_])")


@pytest.fixture(scope="module")
def application() -> Application:
    return inspect_application()


def test_every_metric_that_a_page_names_exists(application: Application) -> None:
    known = set(re.findall(r"`(\w+)`", metrics.page(application.metrics)))
    named = {
        (page.name, name)
        for page in _DOCS.rglob("*.md")
        for name in _METRIC.findall(page.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    assert {(page, name) for page, name in named if name not in known} == set()


def test_routes_have_a_description(application: Application) -> None:
    rows = [line for line in routes_page(application.openapi).splitlines() if "`" in line[:3]]
    assert any("`POST /v1/chat/completions`" in row for row in rows)
    assert [row for row in rows if row.endswith("|  |")] == []


def test_an_error_is_listed_with_its_code_and_status() -> None:
    (row,) = [line for line in errors.page().splitlines() if f"`{BudgetError.__name__}`" in line]
    assert row.startswith("| `insufficient_quota` | 429 | `insufficient_quota` |")


def test_commands_have_their_options_and_defaults() -> None:
    page = commands.page()
    assert "## rollout start" in page
    assert "| `--spec` | path |" in page
    assert "object at" not in page


def test_the_endpoints_file_has_its_sections_bounds_and_defaults() -> None:
    page = endpoint_file.page()
    assert "\n## limits\n" in page
    assert "| `reserve_tokens` | int, more than 0 | `512` |" in page
    assert "### content.input[], type pii" in page
    assert "The same fields as `limits.default`." in page


def test_events_are_those_of_the_modules_that_write_them() -> None:
    page = events.page()
    for name in ("response.output_item.added", "response.NAME.delta", "content_block_delta"):
        assert f"| `{name}` |" in page


def test_a_page_that_loads_from_another_host_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        '<a href="https://a.example/">a</a><script src="//b.example/x.js">'
    )
    (tmp_path / "bad.css").write_text("@import url(https://c.example/font.css)")
    assert outside(tmp_path) == [
        "bad.css: https://c.example/font.css",
        "bad.html: //b.example/x.js",
    ]


def test_every_variable_that_a_page_names_is_read() -> None:
    known = {variable.name for variable in variables()}
    named = {
        (page.name, name)
        for page in [*_DOCS.rglob("*.md"), *_DOCS.parent.glob("*.md")]
        for name in _VARIABLE.findall(page.read_text(encoding="utf-8"))
    }
    assert len(named) > 30
    # Shown as mistakes, and as what Kubernetes sets.
    known |= {"ENGINEHOUSE_REPLICA", "ENGINEHOUSE_PORT_8080_TCP"}
    assert {(page, name) for page, name in named if name not in known} == set()
    assert "| `ENGINEHOUSE_API_PORT` | a port from 1 to 65535 | `8080` |" in settings.page()
