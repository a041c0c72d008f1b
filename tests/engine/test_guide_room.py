"""Requests that wait for their guides, with a compiler that waits for the test."""

from __future__ import annotations

import threading
from typing import cast

import pytest
from enginehouse.engine.guide_room import GuideRoom
from enginehouse.engine.guides import GuideCompiler
from enginehouse.engine.job import Sink

from enginehouse.errors import EngineUnavailableError, InvalidRequestError, QueueFullError
from enginehouse.generation import FinishReason, GenerationRequest, Guide, GuideKind
from tests.engine.collect import Collector

_GUIDE = Guide(GuideKind.REGEX, "a")
_BAD = Guide(GuideKind.REGEX, "(")


class GatedCompiler:
    """A compiler that blocks until the test releases it, and compiles nothing."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.passed: set[Guide] = set()

    def known(self, guide: Guide) -> Guide | None:
        return guide if guide in self.passed else None

    def compile(self, guide: Guide) -> Guide:
        self.entered.set()
        assert self.gate.wait(30)
        if guide == _BAD:
            raise InvalidRequestError("bad", field="guided_decoding_guide")
        self.passed.add(guide)
        return guide

    def close(self) -> None:
        self.gate.set()


class Room:
    def __init__(self, capacity: int = 8) -> None:
        self.compiler = GatedCompiler()
        self.admitted: list[str] = []
        self.room = GuideRoom(cast("GuideCompiler", self.compiler), self._admit, capacity)

    def _admit(self, request: GenerationRequest, sink: Sink) -> None:
        self.admitted.append(request.request_id)
        cast("Collector", sink).admitted.set()

    def submit(self, name: str, guide: Guide = _GUIDE, sequences: int = 1) -> Collector:
        sink = Collector(sequences)
        request = GenerationRequest([1], max_tokens=1, request_id=name, sequences=sequences)
        self.room.submit(request, guide, sink)
        return sink


def test_a_known_guide_does_not_wait_and_a_bad_one_fails_alone() -> None:
    room = Room()
    first, bad = room.submit("first"), room.submit("bad", _BAD)
    room.compiler.gate.set()
    with pytest.raises(InvalidRequestError):
        bad.wait()
    assert first.admitted.wait(30)
    room.compiler.gate.clear()
    room.submit("again")
    assert room.admitted == ["first", "again"]
    room.room.close()


def test_stop_ends_all_answers_of_a_waiting_request() -> None:
    room = Room()
    room.submit("first")
    assert room.compiler.entered.wait(30)
    waiting = room.submit("two", sequences=2)
    assert room.room.cancel("two") == 1
    room.compiler.gate.set()
    waiting.wait()
    assert set(waiting.finishes.values()) == {FinishReason.CANCELLED}
    assert len(waiting.finishes) == 2
    room.room.close()
    assert room.admitted == ["first"]


def test_the_room_is_bounded_and_fails_who_waits_at_the_end() -> None:
    room = Room(capacity=2)
    room.submit("first")
    assert room.compiler.entered.wait(30)
    second = room.submit("second")
    with pytest.raises(QueueFullError, match="2 requests wait"):
        room.submit("third")
    closing = threading.Thread(target=room.room.close)
    closing.start()
    room.compiler.gate.set()
    closing.join(30)
    if "second" not in room.admitted:
        with pytest.raises(EngineUnavailableError):
            second.wait()
