from __future__ import annotations

import pytest
from enginehouse.gateway.outcomes import outcome_of
from enginehouse.gateway.samples.ring import SampleRing

from enginehouse.text.refusal import is_refusal
from enginehouse.traffic import Feedback, Outcome, RequestSample


def _sample(index: int) -> RequestSample:
    return RequestSample(at=float(index), request_id=f"r-{index}", model="m", version=1)


def _filled(size: int, count: int) -> SampleRing:
    ring = SampleRing(size)
    for index in range(1, count + 1):
        ring.add(_sample(index))
    return ring


def test_pages_follow_one_another() -> None:
    ring = _filled(10, 7)
    first = ring.page(0, 5)
    assert [sample.at for sample in first.samples] == [1, 2, 3, 4, 5]
    second = ring.page(first.last, 5)
    assert [sample.at for sample in second.samples] == [6, 7]
    third = ring.page(second.last, 5)
    assert (third.last, third.samples, third.dropped) == (7, (), 0)


def test_what_is_out_of_memory_is_counted() -> None:
    ring = _filled(10, 25)
    page = ring.page(3, 100)
    assert [sample.at for sample in page.samples] == list(range(16, 26))
    assert (page.dropped, page.last) == (12, 25)
    assert ring.page(15, 100).dropped == 0
    assert ring.of_request("r-15") is None
    assert ring.of_request("r-16") is not None


def test_an_empty_ring_has_a_page_and_each_process_its_boot() -> None:
    ring = SampleRing(10)
    assert (ring.page(0, 5).last, ring.page(0, 5).samples) == (0, ())
    # Another process's place means nothing here; the boot says so.
    assert ring.page(99, 5).last == 0
    assert ring.boot != SampleRing(10).boot


def test_feedback_stands_in_the_same_row() -> None:
    ring = _filled(3, 2)
    ring.add(Feedback(at=3.0, request_id="r-1", model="m", version=1, thumbs=1))
    page = ring.page(1, 10)
    assert [sample.at for sample in page.samples] == [2]
    assert [(item.request_id, item.thumbs) for item in page.feedback] == [("r-1", 1)]
    assert page.last == 3


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("200", Outcome.OK),
        ("400", Outcome.REFUSED),
        ("404", Outcome.REFUSED),
        ("429", Outcome.OVERLOADED),
        ("499", Outcome.CANCELLED),
        ("500", Outcome.ERROR),
        ("503", Outcome.ERROR),
        ("504", Outcome.ERROR),
    ],
)
def test_outcomes_are_the_versions_or_the_callers(code: str, outcome: Outcome) -> None:
    assert outcome_of(code) is outcome


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I\u2019m sorry, but no.", True),
        ("\n I cannot do that", True),
        ("As an AI language model", True),
        ("I can do that", False),
        ("The capital of France is Paris; I cannot add more.", False),
        ("As an airline", False),
        ("", False),
    ],
)
def test_refusals_are_known_by_their_beginning(text: str, *, refusal: bool) -> None:
    assert is_refusal(text) is refusal
