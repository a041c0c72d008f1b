"""Types for parsing calls: the deltas of a parser, and the reader's interface for formats."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

_T = TypeVar("_T")
#: A generator that waits for characters one by one; it receives `END` after the last.
Reading = Generator[None, str, _T]
END = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer outside of calls."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStartDelta:
    """A call begins; `index` numbers the calls of one answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """A part of a call's arguments; the parts join to JSON."""

    index: int
    text: str


Delta = TextDelta | CallStartDelta | ArgumentsDelta


class ToolCallParser(Protocol):
    """Parses one answer incrementally.

    The joined deltas do not depend on how the text was split.
    """

    @property
    def called(self) -> bool:
        """Whether a call has begun."""
        ...

    def push(self, text: str) -> list[Delta]:
        """The deltas that are certain after more text; text that may begin a call is held back."""
        ...

    def finish(self) -> list[Delta]:
        """The remaining deltas at the end of the answer.

        Text that is not a call is returned as text.
        """
        ...


class CallWriter(Protocol):
    """The reader as a format's `read` sees it; see `CallReader`."""

    def peek(self) -> Reading[str]:
        """The next character, without consuming it; `END` after the last."""
        ...

    def take(self) -> Reading[str]:
        """Consume the next character; `END` after the last."""
        ...

    def keep(self) -> None:
        """Accept the consumed text, so that it is not read again as text."""
        ...

    def check(self, name: str) -> None:
        """Check that a tool was offered.

        Raises:
            NotACallError: if it was not.
        """
        ...

    def begin(self, name: str) -> None:
        """Begin a call of a tool.

        Raises:
            NotACallError: if it was not offered.
        """
        ...

    def argue(self, text: str) -> None:
        """Append to its arguments."""
        ...


class NotACallError(Exception):
    """The text is not a call. This exception never leaves the package."""
