"""The table of folders in `docs/architecture.md`, made from the contracts in `pyproject.toml`.

`python -m tests.layout.table` writes it between its markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.layout.folders import CORE, PACKAGE, ROOT, pyproject

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- layout:begin -->", "<!-- layout:end -->"


def contracts(root: Path = ROOT) -> list[dict[str, Any]]:
    """The contracts of folders, from the roof down."""
    listed = pyproject(root)["tool"]["importlinter"]["contracts"]
    return [contract for contract in listed if contract["type"] == "folder"]


def layout_table(root: Path = ROOT) -> str:
    """The table in Markdown."""
    rows = [_row(contract) for contract in contracts(root)]
    head = ["| floor | folder | job | may import |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def written_table(page: str) -> str:
    """The table that a page has between its markers."""
    return page.partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def with_table(page: str) -> str:
    """A page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{layout_table()}{END}{after}"


def _row(contract: dict[str, Any]) -> str:
    name = contract["folder"]
    folder = PACKAGE if name == CORE else name
    allowed = contract.get("note") or ", ".join(contract.get("may_import", ())) or "none"
    return f"| {contract['floor']} | `{folder}/` | {contract['job']} | {allowed} |"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
