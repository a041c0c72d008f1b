"""Reports in a terminal: no figure of a table is cut off."""

from __future__ import annotations

import io
import re

import pytest
from enginehouse.cli.markdown import print_markdown
from enginehouse.perf.rounding import shown
from rich.console import Console

_WIDE = """
| streams | tokens/s | requests/s | goodput/s | TTFT p50 ms | p95 | inter-token p50 ms | noise |
|---:|---:|---:|---:|---:|---:|---:|---:|
| 1 | 37.9 | 0.30 | 0.30 | 200 | 217 | 24.1 | 12.4% |
| 16 | 181 | 1.42 | 0.04 | 902 | 2481 | 79.3 | 10.1% |
"""


def _printed(text: str, width: int) -> list[str]:
    out = io.StringIO()
    print_markdown(text, Console(file=out, width=width, force_terminal=False))
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def _cells(text: str) -> set[str]:
    return {cell.strip() for cell in text.replace("---:", "").split("|") if cell.strip()}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_cell_is_whole_at_any_width(width: int) -> None:
    lines = _printed(_WIDE, width)
    assert all(any(cell in line for line in lines) for cell in _cells(_WIDE)), lines
    assert max(map(len, lines)) <= width


def test_a_table_is_turned_only_where_it_does_not_fit() -> None:
    narrow, wide = _printed(_WIDE, 80), _printed(_WIDE, 120)
    assert re.split(r"\s{2,}", narrow[0].strip()) == ["streams", "1", "16"]
    assert re.split(r"\s{2,}", wide[0].strip())[:3] == ["streams", "tokens/s", "requests/s"]


def test_long_words_in_cells_wrap_where_turning_does_not_help() -> None:
    rows = "".join(f"| {'why ' * 20}| {number} |\n" for number in range(30))
    lines = _printed(f"| reason | n |\n|---|---:|\n{rows}", 60)
    assert lines[0].split() == ["reason", "n"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0371, "0.04"),
        (1.426, "1.43"),
        (9.996, "10.0"),
        (24.14, "24.1"),
        (199.6, "200"),
        (-5.618, "-5.62"),
        (19441.2, "19441"),
    ],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert shown(value) == text
