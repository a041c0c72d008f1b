"""The adapter stays thin."""

from __future__ import annotations

from pathlib import Path

_API = Path(__file__).parents[2] / "api"
_MOST_LINES = 7000


def test_the_adapter_has_few_lines() -> None:
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in _API.rglob("*.py"))
    assert lines <= _MOST_LINES, "move what is optional to gateway/, and text to enginehouse/text/"
