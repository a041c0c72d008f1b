"""The console of the command line: text is text, whoever wrote it and whatever the terminal takes.

A reason, a label, a file name or a model's answer may hold Rich's markup (``[bold]``,
``[/var/log/x]``), emoji codes (``:id:``) and control sequences that move a terminal's cursor or
change its title. Nothing here reads them: styles are given as `rich.text.Text`, see `styled`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import IO, Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

#: What a terminal acts upon instead of showing it: C0 less tab and line feed, DEL, C1, and the
#: characters that turn the direction of the text around them (Unicode Standard Annex 9).
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
    """A text whose control characters are written out, as in a Python literal."""
    return text.translate(_SHOWN)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of our own: texts, and pairs of a text and its style (``bold red``)."""
    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(plain(text), style or None)
    return line


class Terminal(Console):
    """A console without markup; see the module."""

    def __init__(
        self, *, stderr: bool = False, file: IO[str] | None = None, width: int | None = None
    ) -> None:
        """`file` and `width` are for tests; without them it is the process's own stream."""
        super().__init__(markup=False, emoji=False, stderr=stderr, file=file, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        """See `Console.render_str`; markup and emoji codes are text, whatever is asked for."""
        return super().render_str(plain(text), **{**options, "markup": False, "emoji": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console.render`; control characters of a `Text` that somebody made are dropped."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(segment.text.translate(_DROPPED), segment.style)


def take_any_text(*streams: TextIO | Any) -> None:
    """Let streams write every text: what their encoding lacks is written out, as in a literal.

    The encoding stays the terminal's own (``LANG=C``, ``PYTHONIOENCODING=latin-1``).

    Args:
        streams: those to change; without any, standard output and error. Standard input then
            takes any bytes, too.
    """
    if not streams:
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace")
        streams = (sys.stdout, sys.stderr)
    for stream in streams:
        # A stream that somebody put there instead need not have an encoding.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
