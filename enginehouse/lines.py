"""Lines of texts that come from elsewhere: streams of events, JSON Lines, templates.

Only LF and CRLF end a line. `str.splitlines`, and with it httpx' `iter_lines`, also splits at
U+2028, U+2029, U+0085, form feeds and others, which JSON allows inside of a string: an answer that
holds one would be cut into two lines, neither of which is JSON.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends; what ends with a line end has no empty last line."""
    lines = text.split("\n")
    last = lines.pop()
    whole = [line.removesuffix("\r") for line in lines]
    return [*whole, last] if last else whole


class LineSplitter:
    """Lines of a text that comes in pieces, as bytes; a character may be cut between two."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def push(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes, without their ends."""
        first, *others = piece.split(b"\n")
        self._rest.append(first)
        if not others:
            return []
        lines = [b"".join(self._rest), *others[:-1]]
        self._rest = [others[-1]]
        return [line.removesuffix(b"\r") for line in lines]

    def finish(self) -> list[bytes]:
        """The last line, if no line end follows it."""
        last = b"".join(self._rest)
        self._rest = []
        return [last] if last else []


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each line of a text in pieces, as soon as it is whole."""
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.push(piece)
    yield from splitter.finish()


async def lines_of_stream(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Each line of a text in pieces, as soon as it is whole."""
    splitter = LineSplitter()
    async for piece in pieces:
        for line in splitter.push(piece):
            yield line
    for line in splitter.finish():
        yield line
