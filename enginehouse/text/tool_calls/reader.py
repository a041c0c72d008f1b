"""Reads an answer character by character, so that nothing depends on how it was split.

A format describes its calls as generators that request the next character, and the reader sends
characters as they arrive. Characters that turn out not to be a call are read again as text.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Protocol

from enginehouse.text.tool_calls.deltas import (
    END,
    ArgumentsDelta,
    CallStartDelta,
    CallWriter,
    Delta,
    NotACallError,
    Reading,
    TextDelta,
)

SPACE = frozenset(" \t\r\n")
#: White space before a call is dropped; at most this many characters of it are held back.
_MOST_SPACE = 64


class CallGrammar(Protocol):
    """The part of a `ToolFormat` that the reader needs."""

    @property
    def markers(self) -> tuple[str, ...]:
        """See `ToolFormat`."""
        ...

    @property
    def bare(self) -> str:
        """See `ToolFormat`."""
        ...

    def read(self, calls: CallWriter) -> Reading[None]:
        """See `ToolFormat`."""
        ...


def new_call_id() -> str:
    """An id in OpenAI's format for calls."""
    return f"call_{secrets.token_hex(12)}"


class CallReader:
    """A `ToolCallParser` for any grammar; it is also the object that the grammar reads from."""

    def __init__(
        self,
        grammar: CallGrammar,
        names: Collection[str],
        *,
        parallel: bool = True,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """`names` are the offered tools; without `parallel` only one call is emitted."""
        self._grammar = grammar
        self._names = frozenset(names)
        self._most = None if parallel else 1
        self._new_id = new_id
        self._begun = 0
        self._out: list[Delta] = []
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._ended = False
        # Whether it expects text and holds nothing back.
        self._idle = False
        first = re.escape("".join(marker[0] for marker in grammar.markers))
        self._plain = re.compile(rf"(?:\s{{0,{_MOST_SPACE}}}[^\s{first}])+")
        self._reading = self._answer()
        # Advance to the first request for a character.
        next(self._reading)

    @property
    def called(self) -> bool:
        """See `ToolCallParser`."""
        return self._begun > 0

    def push(self, text: str) -> list[Delta]:
        """See `ToolCallParser`."""
        at = 0
        while at < len(text):
            # Most of an answer is neither call nor marker, and needs no inspection of each
            # character.
            if self._idle and (plain := self._plain.match(text, at)):
                self._say(plain[0])
                at = plain.end()
            else:
                self._reading.send(text[at])
                at += 1
        return self._given()

    def finish(self) -> list[Delta]:
        """See `ToolCallParser`."""
        if not self._ended:
            with suppress(StopIteration):
                self._reading.send(END)
        return self._given()

    def peek(self) -> Reading[str]:
        """See `CallWriter`."""
        if self._again:
            return self._again[0]
        if self._ended:
            return END
        character = yield
        if character == END:
            self._ended = True
        else:
            self._again.append(character)
        return character

    def take(self) -> Reading[str]:
        """See `CallWriter`."""
        character = yield from self.peek()
        if character != END:
            self._again.popleft()
            self._taken.append(character)
        return character

    def keep(self) -> None:
        """See `CallWriter`."""
        self._taken.clear()

    def check(self, name: str) -> None:
        """See `CallWriter`."""
        if name not in self._names:
            raise NotACallError

    def begin(self, name: str) -> None:
        """See `CallWriter`."""
        self.check(name)
        self._begun += 1
        if self._heard:
            self._out.append(CallStartDelta(self._begun - 1, self._new_id(), name))
        self.keep()

    def argue(self, text: str) -> None:
        """See `CallWriter`."""
        if self._heard:
            self._out.append(ArgumentsDelta(self._begun - 1, text))
        self.keep()

    @property
    def _heard(self) -> bool:
        return self._most is None or self._begun <= self._most

    def _answer(self) -> Reading[None]:
        yield from self._beginning()
        while (opening := (yield from self._text())) is not None:
            yield from self._calls(opening)

    def _beginning(self) -> Reading[None]:
        """Calls that begin an answer without a marker."""
        space = ""
        while (yield from self.peek()) in SPACE:
            space += yield from self.take()
        character = yield from self.peek()
        if character != END and character in self._grammar.bare:
            yield from self._calls(space)
        else:
            self._read_again()

    def _text(self) -> Reading[str | None]:
        """Text up to an opening, which is returned; None at the end."""
        held = ""
        while True:
            self._idle = not held
            character = yield from self.take()
            self._idle = False
            self.keep()
            if character == END:
                # White space after a call is dropped.
                if held.strip() or not self.called:
                    self._say(held)
                return None
            held += character
            while held and not self._may_open(held):
                self._say(held[0])
                held = held[1:]
            if held.lstrip() in self._grammar.markers:
                return held

    def _may_open(self, held: str) -> bool:
        marker = held.lstrip()
        if not marker:
            return len(held) <= _MOST_SPACE and bool(self._grammar.markers or self.called)
        return any(known.startswith(marker) for known in self._grammar.markers)

    def _calls(self, opening: str) -> Reading[None]:
        self.keep()
        before = self._begun
        try:
            yield from self._grammar.read(self)
            self.keep()
        except NotACallError:
            if self._begun == before:
                self._say(opening)
            self._read_again()

    def _read_again(self) -> None:
        self._again.extendleft(reversed(self._taken))
        self._taken.clear()

    def _say(self, text: str) -> None:
        if text:
            self._out.append(TextDelta(text))

    def _given(self) -> list[Delta]:
        joined: list[Delta] = []
        for delta in self._out:
            last = joined[-1] if joined else None
            match last, delta:
                case TextDelta(before), TextDelta(text):
                    joined[-1] = TextDelta(before + text)
                case ArgumentsDelta(index, before), ArgumentsDelta(same, text) if index == same:
                    joined[-1] = ArgumentsDelta(index, before + text)
                case _:
                    joined.append(delta)
        self._out.clear()
        return joined
