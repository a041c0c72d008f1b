"""Prints Markdown reports in the terminal without cutting off table cells.

Rich truncates cells if a table is wider than the terminal. Reports have many columns and few rows,
so a wide table is transposed: one row for each column, which fits into 80 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from enginehouse.cli.common import console
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


def print_markdown(text: str, to: Console = console) -> None:
    """Print a report."""
    to.print(_Report(text))


class _FittedTable(TableElement):
    """A table that is transposed if it is too wide and fits when transposed."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        parts = (self.header and self.header.row, *(self.body.rows if self.body else ()))
        rows = [[cell.content for cell in row.cells] for row in parts if row]
        upright = _table(rows)
        turned = _table(list(zip(*rows, strict=True)))
        beside = not _fits(upright, console, options) and _fits(turned, console, options)
        yield turned if beside else upright


class _Report(Markdown):
    elements: ClassVar = {**Markdown.elements, "table_open": _FittedTable}


def _table(rows: Sequence[Sequence[Text]]) -> Table:
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        style="markdown.table.border",
        collapse_padding=True,
    )
    for heading in rows[0]:
        title = heading.copy()
        title.stylize("markdown.table.header")
        table.add_column(title)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _fits(table: Table, console: Console, options: ConsoleOptions) -> bool:
    unbounded = options.update(max_width=10_000)
    return Measurement.get(console, unbounded, table).maximum <= options.max_width
