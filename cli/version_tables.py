"""Tables of versions, comparisons and garbage for the terminal."""

from __future__ import annotations

from enginehouse.cli.terminal import styled
from enginehouse.registry import records
from enginehouse.registry.diff import BundleDiff, DiffRow
from enginehouse.registry.garbage import Garbage
from enginehouse.registry.records import VersionRecord
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

_COLOURS = {"better": "green", "worse": "red", "changed": "yellow", "equal": "dim"}


def version_table(found: list[VersionRecord], name: str | None) -> Table:
    """Versions of one model, or of all models if `name` is None."""
    table = Table(title=name)
    columns = ("version", "label", "aliases", "created", "runtime", "weights", "quality", "size")
    for column in columns if name is not None else ("model", *columns):
        table.add_column(column)
    for record in found:
        size = record.tags.get(records.TAG_SIZE, "")
        cells = (
            str(record.version),
            record.label or "",
            ", ".join(record.aliases) or ("retired" if record.retired is not None else ""),
            f"{record.created.astimezone():%Y-%m-%d %H:%M}",
            record.tags.get(records.TAG_RUNTIME, ""),
            record.tags.get(records.TAG_FORMAT, ""),
            record.tags.get(records.TAG_QUALITY, ""),
            decimal(int(size)) if size.isdecimal() else "",
        )
        table.add_row(*(cells if name is not None else (record.name, *cells)))
    return table


def diff_table(found: BundleDiff) -> Table:
    """Two versions side by side."""
    table = Table("", "field", found.left, found.right, "change")
    section = ""
    for row in found.rows:
        table.add_row(
            row.section if row.section != section else "",
            row.field,
            _cell(row.left),
            _cell(row.right),
            _change(row),
        )
        section = row.section
    return table


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else f"{value}"


def _change(row: DiffRow) -> Text:
    percent = "" if row.percent is None else f" {row.percent:+.1f} %"
    return styled((f"{row.verdict}{percent}", _COLOURS[row.verdict]))


def garbage_table(found: list[Garbage]) -> Table:
    """Garbage with its size and reason."""
    total = decimal(sum(item.size_bytes for item in found))
    table = Table("what", "size", "why", title=f"{len(found)} things, {total}")
    for item in found:
        table.add_row(item.where, decimal(item.size_bytes), item.reason)
    return table
