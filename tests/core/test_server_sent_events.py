from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.server_sent_events import EventReader, data_of, data_of_stream

_ODD = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg é 語 🎉"


def _read(*chunks: bytes) -> list[str]:
    reader = EventReader()
    found = [data for chunk in chunks for data in reader.push(chunk)]
    return [data.decode() for data in found + reader.finish()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_the_standards_line_ends_end_a_line(end: str) -> None:
    assert _read(f"data: {_ODD}{end}{end}data: 2{end}{end}".encode()) == [_ODD, "2"]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data:a\n\n", ["a"]),
        ("data:  a \n\n", [" a "]),
        ("data\n\n", [""]),
        (": a comment\n\ndata: a\n: another\n\n", ["a"]),
        ("event: x\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        ("event: ping\n\ndata: a\n\n", ["a"]),
        ("database: a\nData: a\n data: a\n\n", []),
        ("data: a: b\n\n", ["a: b"]),
        ("\ufeffdata: a\n\n", ["a"]),
        ("data: \ufeffa\n\n\ufeffdata: b\n\n", ["\ufeffa"]),
        ("\n\n\ndata: a\n\n\n\n", ["a"]),
        ("data: a\n", ["a"]),
        ("data: a", ["a"]),
        ("data: [DONE]\r\n\r\n", ["[DONE]"]),
        ("", []),
    ],
)
def test_an_event_is_what_the_standard_says(stream: str, expected: list[str]) -> None:
    assert _read(stream.encode()) == expected


def test_an_event_is_reported_as_soon_as_it_is_complete() -> None:
    reader = EventReader()
    assert reader.push(b"data: a\r") == []
    assert reader.push(b"\n\r") == [b"a"]
    assert reader.push(b"\ndata: b\n") == []
    assert reader.push(b"\n") == [b"b"]


_TEXTS = st.text(st.one_of(st.sampled_from(_ODD + '\\"'), st.characters(exclude_categories=["Cs"])))


@given(
    st.lists(_TEXTS, min_size=1, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200), max_size=8),
    st.booleans(),
)
def test_json_arrives_whole_wherever_the_stream_is_cut(
    texts: list[str],
    end: str,
    cuts: list[int],
    bom: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    events = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    raw = ("\ufeff" if bom else "").encode() + "".join(
        f": hello{end}data: {event}{end}{end}" for event in events
    ).encode()
    places = sorted({0, *(cut for cut in cuts if cut < len(raw)), len(raw)})
    chunks = [raw[a:b] for a, b in pairwise(places)]
    assert [json.loads(data)["text"] for data in _read(*chunks)] == texts


def test_a_stream_is_read_chunk_by_chunk() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in f"data: {_ODD}\n\ndata: [DONE]\n\n".encode():
            yield bytes([byte])

    async def read() -> list[bytes]:
        return [data async for data in data_of_stream(chunks())]

    assert asyncio.run(read()) == [_ODD.encode(), b"[DONE]"]


def test_chunks_of_a_blocking_reader_are_read_alike() -> None:
    assert list(data_of([b"data: a\r", b"\n\r\ndata", b": b"])) == [b"a", b"b"]
