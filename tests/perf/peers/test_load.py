from __future__ import annotations

import json

import pytest
from enginehouse.perf.peers.load import read_answer

from enginehouse.errors import ServingError

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(text: str | None = None, tokens: int | None = None) -> bytes:
    event: dict[str, object] = {"choices": [{"delta": {"role": "assistant", "content": text}}]}
    if tokens is not None:
        event["usage"] = {"total_tokens": 99, "completion_tokens": tokens}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_each_text_is_given_the_moment_at_which_it_was_complete() -> None:
    first, second = _chunk(_event("Once")), _chunk(_event(" upon"))
    arrived = [
        (10.0, _HEAD + first),
        (10.5, second[:-20]),
        (11.0, second[-20:]),
        (11.5, _chunk(_event(tokens=2)) + b"0\r\n\r\n"),
    ]
    answer = read_answer(9.0, arrived)
    assert answer.text == "Once upon"
    assert answer.trace.arrivals_s == [1.0, 2.0]
    assert answer.trace.tokens == 2


def test_an_event_cut_by_a_chunk_is_read_whole() -> None:
    event = _event("Once")
    body = _chunk(event[:15]) + _chunk(event[15:]) + _chunk(_event(tokens=1)) + b"0\r\n\r\n"
    answer = read_answer(0.0, [(1.0, _HEAD), (2.0, body)])
    assert (answer.text, answer.trace.arrivals_s) == ("Once", [2.0])


def test_a_stream_without_chunks_and_without_done_is_read() -> None:
    body = _event("a") + _event("b") + _event(tokens=2)
    answer = read_answer(0.0, [(1.0, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)])
    assert (answer.text, answer.trace.tokens) == ("ab", 2)


def test_events_without_text_are_no_arrivals() -> None:
    events = [_event(""), _event(None), _event("a"), b"data: [DONE]\n\n", _event(tokens=3)]
    body = b"".join(map(_chunk, events)) + b"0\r\n\r\n"
    assert read_answer(0.0, [(1.0, _HEAD + body)]).trace.arrivals_s == [1.0]


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        (b'HTTP/1.1 422 Unprocessable\r\n\r\n{"detail":"no"}', "answered"),
        (_HEAD + _chunk(_event("a")), "cut"),
        (_HEAD + _chunk(b'data: {"error": "out of memory"}\n\n'), "out of memory"),
    ],
)
def test_what_is_no_whole_answer_is_an_error(whole: bytes, said: str) -> None:
    with pytest.raises(ServingError, match=said):
        read_answer(0.0, [(1.0, whole)])
