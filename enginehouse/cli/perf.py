"""`enginehouse bench`."""

from __future__ import annotations

from enginehouse.cli.common import JsonOption


def bench(as_json: JsonOption = False) -> None:
    """Measure."""
