"""The load generator for servers whose streams are framed differently.

It uses `enginehouse.perf.load.http`, which only records when bytes arrive. After the run it parses
any OpenAI-compatible stream: chunked or not, with or without a final ``[DONE]``, with JSON fields
in any order.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from enginehouse.perf.load.http import HttpSender
from enginehouse.perf.load.http import RawAnswer as Arrived
from enginehouse.perf.workload import Trace

from enginehouse.errors import ServingError

_HEAD_END = b"\r\n\r\n"
_EVENT = re.compile(rb"^data: ?(\{.*\})\r?$", re.MULTILINE)
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """One parsed stream.

    Attributes:
        trace: arrival times of events with text, and the token count of the server.
    """

    trace: Trace
    text: str


def ask(url: str, bodies: list[dict[str, Any]]) -> tuple[float, list[PeerAnswer]]:
    """Send all bodies at once to a streaming chat endpoint; return seconds and answers.

    Raises:
        ServingError: if a request is refused, or its stream is incomplete or has no text.
    """
    seconds, streams = asyncio.run(_exchange(url, bodies))
    # `_arrived` is private because this is the only other reader.
    return seconds, [read_answer(s.sent_at, s._arrived) for s in streams]  # noqa: SLF001


async def _exchange(url: str, bodies: list[dict[str, Any]]) -> tuple[float, list[Arrived]]:
    sender = HttpSender(url)
    requests = [sender.encode(body) for body in bodies]
    began = time.perf_counter()
    answers = await asyncio.gather(*(sender.send(request) for request in requests))
    return time.perf_counter() - began, answers


def read_answer(sent_at_s: float, arrived: Sequence[tuple[float, bytes]]) -> PeerAnswer:
    """Parse a stream, with the time at which each event was complete.

    Args:
        sent_at_s: time of sending, on the clock of `arrived`.
        arrived: arrival times and bytes, in order.

    Raises:
        ServingError: if it is not a complete answer.
    """
    whole = b"".join(data for _, data in arrived)
    if not whole.startswith(b"HTTP/1.1 200"):
        raise ServingError(f"the endpoint answered {whole[:_SHOWN]!r}")
    body, ends = _body(whole)
    sizes = list(accumulate(len(data) for _, data in arrived))
    arrivals: list[float] = []
    parts: list[str] = []
    tokens = None
    for found in _EVENT.finditer(body):
        event = json.loads(found[1])
        if "error" in event:
            raise ServingError(f"a stream failed: {event['error']}")
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        if text := _text(event):
            parts.append(text)
            place = bisect_right(sizes, _raw_place(ends, found.end() - 1))
            arrivals.append(arrived[place][0] - sent_at_s)
    if not arrivals or tokens is None:
        raise ServingError(f"a stream was cut: it ends in {whole[-_SHOWN:]!r}")
    return PeerAnswer(Trace(arrivals, int(tokens)), "".join(parts))


def _text(event: dict[str, Any]) -> str:
    choices = event.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


def _body(whole: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The body without chunk framing, and the end of each chunk in the body and in `whole`."""
    head, _, rest = whole.partition(_HEAD_END)
    start = len(head) + len(_HEAD_END)
    if b"transfer-encoding: chunked" not in head.lower():
        return rest, [(len(rest), len(whole))]
    parts: list[bytes] = []
    ends: list[tuple[int, int]] = []
    length = 0
    while (line := whole.find(b"\r\n", start)) >= 0:
        size = int(whole[start:line].partition(b";")[0], 16)
        begin = line + 2
        if size == 0:
            break
        parts.append(whole[begin : begin + size])
        length += size
        ends.append((length, begin + size))
        start = begin + size + 2
    return b"".join(parts), ends


def _raw_place(ends: list[tuple[int, int]], place: int) -> int:
    """The position of a byte of the body among all bytes that arrived."""
    body_end, raw_end = ends[bisect_right(ends, place, key=lambda end: end[0])]
    return raw_end - (body_end - place)
