from __future__ import annotations

from enginehouse.engine.job import Job
from enginehouse.engine.runtime import Drained, SlotState

from enginehouse.generation import GenerationRequest, Guide, GuideKind
from enginehouse.text.detokenizer import CharacterBoundary
from tests.engine.fakes import Collector

#: Ids 0 and 1 are the two bytes of one character.
_BYTES = ["é".encode()[:1], "é".encode()[1:], b"a"]


def _job() -> Job:
    request = GenerationRequest([1], 10, guide=Guide(GuideKind.REGEX, ".*"))
    return Job(request, Collector(), CharacterBoundary(_BYTES))


def _take(job: Job, *ids: int) -> None:
    job.take(Drained(list(ids), [-0.1] * len(ids), SlotState.RUNNING))


def test_a_job_that_begins_again_inside_a_character_is_like_a_new_one() -> None:
    again, new = _job(), _job()
    _take(again, 0)
    assert not again.due(1)
    assert again.restart()
    assert (again.timings.first_token_ns, again.generated) == (0, [])
    for ids in ([2], [0], [1], [2, 0]):
        assert again.due(1) == new.due(1)
        for job in (again, new):
            _take(job, *ids)
        assert again.due(1) == new.due(1), ids
        for job in (again, new):
            if job.due(1):
                job.flush()
    for job in (again, new):
        assert isinstance(job.sink, Collector)
    chunks = [[chunk.token_ids for chunk in job.sink.chunks] for job in (again, new)]  # type: ignore[attr-defined]
    assert chunks[0] == chunks[1] == [[2], [0, 1]]


def test_a_job_of_which_something_was_sent_does_not_begin_again() -> None:
    job = _job()
    _take(job, 2)
    job.flush()
    assert not job.restart()
    assert job.generated == [2]
