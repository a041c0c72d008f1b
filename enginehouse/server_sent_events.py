"""Reads server-sent events as the HTML standard (WHATWG) parses them.

A line ends at LF, CRLF or CR, and at nothing else: U+2028, U+0085, VT and FF stand inside JSON
texts. An event ends at an empty line; its `data` lines are joined with LF, and one space after the
colon is dropped. A byte order mark at the beginning is dropped; comments and other fields are left
out. Events without data are not reported.

Two things differ, for providers that end their stream without the last empty line: an event that
is complete but for that line is reported when the stream ends, and so is a line without an end.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator

_BOM = b"\xef\xbb\xbf"
_DATA = b"data"


class EventReader:
    """Takes chunks of bytes that are cut anywhere, and gives the data of each event."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._first = True
        self._after_cr = False

    def push(self, chunk: bytes) -> list[bytes]:
        """Add a chunk; the data of each event that it completes."""
        if self._after_cr and chunk:
            # The CR ended its line; this LF belongs to it.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = self._after_cr or chunk.endswith(b"\r")
        first, *others = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._line.append(first)
        events = []
        for other in others:
            events += self._ended(b"".join(self._line))
            self._line = [other]
        return events

    def finish(self) -> list[bytes]:
        """The stream has ended: the data of the event that it left unfinished, if any."""
        rest = b"".join(self._line)
        self._line = []
        return (self._ended(rest) if rest else []) + self._ended(b"")

    def _ended(self, line: bytes) -> list[bytes]:
        if self._first:
            line, self._first = line.removeprefix(_BOM), False
        if not line:
            data, self._data = self._data, []
            return [b"\n".join(data)] if data else []
        name, _, value = line.partition(b":")
        if name == _DATA:
            self._data.append(value.removeprefix(b" "))
        return []


def data_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each event of a stream of chunks, as soon as the event is complete."""
    reader = EventReader()
    for chunk in chunks:
        yield from reader.push(chunk)
    yield from reader.finish()


async def data_of_stream(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of each event of an asynchronous stream, as soon as the event is complete."""
    reader = EventReader()
    async for chunk in chunks:
        for data in reader.push(chunk):
            yield data
    for data in reader.finish():
        yield data
