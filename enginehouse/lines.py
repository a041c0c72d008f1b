"""Splits external text into lines: JSON Lines, logs, templates.

Only LF and CRLF end a line. `str.splitlines` and httpx' `iter_lines` also split at U+2028, U+2029,
U+0085, form feeds and others. JSON allows these inside a string, so an answer with one would be
split into two lines that are not JSON.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator


def split_lines(text: str) -> list[str]:
    """The lines of a text without their terminators; no empty line after a final terminator."""
    lines = text.split("\n")
    last = lines.pop()
    whole = [line.removesuffix("\r") for line in lines]
    return [*whole, last] if last else whole


class LineSplitter:
    """Splits a stream of byte chunks into lines; a character may be split between two chunks."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def push(self, piece: bytes) -> list[bytes]:
        """Add a chunk; return the lines that it completes, without terminators."""
        first, *others = piece.split(b"\n")
        self._rest.append(first)
        if not others:
            return []
        lines = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]]
        return [line.removesuffix(b"\r") for line in lines]

    def finish(self) -> list[bytes]:
        """Return the last line, if it has no terminator."""
        last = b"".join(self._rest)
        self._rest = []
        return [last] if last else []


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Iterate over the lines of a stream of chunks, each as soon as it is complete."""
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.push(piece)
    yield from splitter.finish()


async def lines_of_stream(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Iterate over the lines of an asynchronous stream, each as soon as it is complete."""
    splitter = LineSplitter()
    async for piece in pieces:
        for line in splitter.push(piece):
            yield line
    for line in splitter.finish():
        yield line
