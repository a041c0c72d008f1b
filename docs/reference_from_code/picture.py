"""A terminal's output as an SVG: `COMMAND | python -m docs.reference_from_code.picture TITLE FILE`.

The command must write colours (`FORCE_COLOR=1`). Rich draws the picture; its links to fonts of
another host are left out.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

_FONT = re.compile(r"\s*@font-face \{.*?\}|<!--.*?-->", re.DOTALL)
_MOST_BYTES = 60_000


def picture(output: str, title: str) -> str:
    """The SVG.

    Raises:
        ValueError: if it is too large for the repository.
    """
    text = Text.from_ansi(output.rstrip())
    width = max(len(line) for line in text.plain.splitlines())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text, no_wrap=True, crop=False)
    svg = _FONT.sub("", console.export_svg(title=title, unique_id="terminal"))
    svg = svg.replace("Fira Code", "monospace")
    if len(svg.encode()) > _MOST_BYTES:
        raise ValueError(f"{len(svg.encode())} bytes: show less, {_MOST_BYTES} is the limit")
    return svg


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(sys.stdin.read(), sys.argv[1]), encoding="utf-8")
