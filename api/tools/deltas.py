"""The vocabulary of reading calls: what a parser gives, and what a format reads from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

_T = TypeVar("_T")
#: A reader that waits for characters one by one; it is sent `END` after the last.
Reading = Generator[None, str, _T]
END = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer that is part of no call."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStartDelta:
    """A call begins; `index` counts the calls of one answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """More of a call's arguments: the pieces join to JSON."""

    index: int
    text: str


Delta = TextDelta | CallStartDelta | ArgumentsDelta


class ToolCallParser(Protocol):
    """Reads one answer as it comes; however it is cut, the deltas join to the same."""

    @property
    def called(self) -> bool:
        """Whether a call has begun."""
        ...

    def push(self, text: str) -> list[Delta]:
        """What has become certain; text that may begin a call is held back."""
        ...

    def finish(self) -> list[Delta]:
        """What was held back: text that turned out to be no call is given as text."""
        ...


class CallWriter(Protocol):
    """What a format's `read` may do; see `CallReader`."""

    def peek(self) -> Reading[str]:
        """The next character, which stays the next; `END` after the last."""
        ...

    def take(self) -> Reading[str]:
        """The next character; `END` after the last."""
        ...

    def keep(self) -> None:
        """What was taken so far is understood: it is not read again as text."""
        ...

    def check(self, name: str) -> None:
        """Whether such a tool was offered.

        Raises:
            NotACallError: if not.
        """
        ...

    def begin(self, name: str) -> None:
        """A call of this tool begins.

        Raises:
            NotACallError: if no such tool was offered.
        """
        ...

    def argue(self, text: str) -> None:
        """More of its arguments."""
        ...


class NotACallError(Exception):
    """What looked like a call is none; it never leaves this package."""
