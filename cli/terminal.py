"""The console of the command line: prints any text literally, in any encoding.

A reason, a label, a file name or a model's answer may contain Rich markup (``[bold]``,
``[/var/log/x]``), emoji codes (``:id:``) and control sequences that move the cursor or change the
terminal's title. None of these are interpreted: styles are given as `rich.text.Text`, see `styled`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

#: Characters that terminals interpret instead of showing: C0 except tab and line feed, DEL, C1, and
#: those that change the direction of text (Unicode Standard Annex 9).
_ACTED_UPON = (
    *(code for code in range(0x20) if code not in {0x09, 0x0A}),
    *range(0x7F, 0xA0),
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
)
_SHOWN = {
    code: f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits
    for code in _ACTED_UPON
}
_DROPPED = dict.fromkeys(_ACTED_UPON, None)


def plain(text: str) -> str:
    """Escape control characters, as in a Python literal."""
    return text.translate(_SHOWN)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of strings and of pairs (text, style), for example ``("x", "bold red")``."""
    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(plain(text), style or None)
    return line


class Terminal(Console):
    """A console without markup; see the module's docstring."""

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        """`file` and `width` are for tests; the default is the process's own stream."""
        super().__init__(markup=False, emoji=False, stderr=stderr, file=file, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`; markup and emoji codes are always plain text."""
        return super().render_str(plain(text), **{**options, "markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`; control characters in a `Text` are removed."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(segment.text.translate(_DROPPED), segment.style)


def take_any_text(*streams: TextIO | Any) -> None:
    """Let streams write any text: characters that their encoding lacks are escaped.

    The terminal's encoding is kept (``LANG=C``, ``PYTHONIOENCODING=latin-1``).

    Args:
        streams: streams to change; default: standard output and error. Standard input then
            accepts any bytes too.
    """
    if not streams:
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")
        streams = (sys.stdout, sys.stderr)
    for stream in streams:
        # A replaced stream may have no encoding.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
