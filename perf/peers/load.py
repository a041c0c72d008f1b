"""The load generator for servers that frame their streams in ways of their own.

It is `enginehouse.perf.load.http`'s: while it measures it only notes when bytes arrive. What they
say is read afterwards, from any OpenAI-compatible stream: chunked or not, with or without a
closing ``[DONE]``, with JSON in any order.
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
    """One stream that has been read.

    Attributes:
        trace: arrivals of the events that carry text, and the tokens that the server counted.
    """

    trace: Trace
    text: str


def ask(url: str, bodies: list[dict[str, Any]]) -> tuple[float, list[PeerAnswer]]:
    """Send all bodies at once to a streaming chat endpoint; seconds, and an answer each.

    Raises:
        ServingError: if a request is refused, its stream is cut, or carries no text.
    """
    seconds, streams = asyncio.run(_exchange(url, bodies))
    # What arrived is private there, because nobody else reads it.
    return seconds, [read_answer(s.sent_at, s._arrived) for s in streams]  # noqa: SLF001


async def _exchange(url: str, bodies: list[dict[str, Any]]) -> tuple[float, list[Arrived]]:
    sender = HttpSender(url)
    requests = [sender.encode(body) for body in bodies]
    began = time.perf_counter()
    answers = await asyncio.gather(*(sender.send(request) for request in requests))
    return time.perf_counter() - began, answers


def read_answer(sent_at_s: float, arrived: Sequence[tuple[float, bytes]]) -> PeerAnswer:
    """What a server streamed, with the moment at which each piece of text was complete.

    Args:
        sent_at_s: when the request was sent, on the clock of `arrived`.
        arrived: moments and bytes, in order.

    Raises:
        ServingError: if it is not a whole answer.
    """
    whole = b"".join(data for _, data in arrived)
    if not whole.startswith(b"HTTP/1.1 200"):
        raise ServingError(f"the endpoint answered {whole[:_SHOWN]!r}")
    body, ends = _body(whole)
    sizes = list(accumulate(len(data) for _, data in arrived))
    arrivals: list[float] = []
    pieces: list[str] = []
    tokens = None
    for found in _EVENT.finditer(body):
        event = json.loads(found[1])
        if "error" in event:
            raise ServingError(f"a stream failed: {event['error']}")
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
        if text := _text(event):
            pieces.append(text)
            place = bisect_right(sizes, _raw_place(ends, found.end() - 1))
            arrivals.append(arrived[place][0] - sent_at_s)
    if not arrivals or tokens is None:
        raise ServingError(f"a stream was cut: it ends in {whole[-_SHOWN:]!r}")
    return PeerAnswer(Trace(arrivals, int(tokens)), "".join(pieces))


def _text(event: dict[str, Any]) -> str:
    choices = event.get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


def _body(whole: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """The body without its chunks' frames, and where each chunk ends: in it, and in `whole`."""
    head, _, rest = whole.partition(_HEAD_END)
    start = len(head) + len(_HEAD_END)
    if b"transfer-encoding: chunked" not in head.lower():
        return rest, [(len(rest), len(whole))]
    pieces: list[bytes] = []
    ends: list[tuple[int, int]] = []
    length = 0
    while (line := whole.find(b"\r\n", start)) >= 0:
        size = int(whole[start:line].partition(b";")[0], 16)
        begin = line + 2
        if size == 0:
            break
        pieces.append(whole[begin : begin + size])
        length += size
        ends.append((length, begin + size))
        start = begin + size + 2
    return b"".join(pieces), ends


def _raw_place(ends: list[tuple[int, int]], place: int) -> int:
    """Where a byte of the body lies among all bytes that arrived."""
    body_end, raw_end = ends[bisect_right(ends, place, key=lambda end: end[0])]
    return raw_end - (body_end - place)
