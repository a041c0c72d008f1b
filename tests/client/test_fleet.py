from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from enginehouse.client import AsyncFleetClient, Deadlines, RetryPolicy, Target

from enginehouse.errors import (
    DeadlineError,
    EngineUnavailableError,
    InvalidRequestError,
    ModelNotFoundError,
    QueueFullError,
    RequestCancelledError,
    ServingError,
)
from enginehouse.generation import FinishReason, GenerationRequest, Guide, GuideKind, Sampling
from tests.client.fakes import FakeFleet, FakeReplica, Fault, generator

_TARGET = Target("smollm2", 1)
_REQUEST = GenerationRequest([10], max_tokens=6)
_GONE = EngineUnavailableError("gone")
_AT_ONCE = RetryPolicy(attempts=3, base_s=0.0)
_PATIENT = RetryPolicy(attempts=4, base_s=0.0)


@asynccontextmanager
async def _fleet(
    *replicas: FakeReplica, retry: RetryPolicy = _AT_ONCE
) -> AsyncIterator[AsyncFleetClient]:
    """It looks once; later looks are the test's."""
    fake = FakeFleet(replicas)
    async with AsyncFleetClient(
        fake, retry=retry, patient=_PATIENT, look_every_s=3600.0, connect=fake.connect
    ) as client:
        yield client


async def _ids(
    client: AsyncFleetClient, request: GenerationRequest = _REQUEST, target: Target = _TARGET
) -> list[int]:
    return [i async for chunk in client.generate(target, request) for i in chunk.token_ids]


def _run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_the_replica_with_the_fewest_outstanding_requests_is_asked() -> None:
    async def test() -> None:
        hold = asyncio.Event()
        replicas = [generator(1) for _ in range(3)]
        for replica in replicas:
            replica.hold = hold
        async with _fleet(*replicas) as client:
            tasks = [asyncio.create_task(_ids(client)) for _ in range(7)]
            while sum(state.outstanding for state in client.replicas()) < 7:  # noqa: ASYNC110
                await asyncio.sleep(0)  # lets the tasks run, waits for no time
            assert sorted(state.outstanding for state in client.replicas()) == [2, 2, 3]
            hold.set()
            assert await asyncio.gather(*tasks) == [[11, 12, 13, 14, 15, 16]] * 7
            assert [state.outstanding for state in client.replicas()] == [0, 0, 0]

    _run(test)


def test_ties_take_turns() -> None:
    async def test() -> None:
        replicas = [generator(1) for _ in range(3)]
        async with _fleet(*replicas) as client:
            for _ in range(6):
                await _ids(client)
        assert [len(replica.asked) for replica in replicas] == [2, 2, 2]

    _run(test)


def test_only_replicas_that_have_the_version_are_asked() -> None:
    async def test() -> None:
        old, both = generator(1), generator(1, 2)
        async with _fleet(old, both) as client:
            for _ in range(4):
                await _ids(client, target=Target("smollm2", 2))
            assert client.ready_versions("smollm2.tensorrt_llm") == {1, 2}
        assert (len(old.asked), len(both.asked)) == (0, 4)

    _run(test)


@pytest.mark.parametrize("error", [_GONE, ModelNotFoundError("x"), QueueFullError("full")])
def test_a_request_that_received_nothing_goes_to_another_replica(error: ServingError) -> None:
    async def test() -> None:
        replicas = [generator(1), generator(1)]
        replicas[0].faults.append(Fault(0, error))
        async with _fleet(*replicas) as client:
            for _ in range(2):
                assert await _ids(client) == [11, 12, 13, 14, 15, 16]
        assert [len(replica.asked) for replica in replicas] == [1, 2]

    _run(test)


def test_a_replica_that_failed_comes_last_until_it_answers() -> None:
    """A dead stub's model stays ready, and a replica that fails fast has little outstanding."""

    async def test() -> None:
        bad, good = generator(1), generator(1)
        bad.faults.extend([Fault(0, _GONE)] * 50)
        async with _fleet(bad, good) as client:
            for _ in range(20):
                await _ids(client)
        assert len(bad.asked) <= 1
        assert len(good.asked) == 20

    _run(test)


def test_a_dead_replica_is_not_asked_once_it_was_looked_at() -> None:
    async def test() -> None:
        dead, good = generator(1), generator(1)
        async with _fleet(dead, good) as client:
            dead.dead = True
            await client.look()
            for _ in range(4):
                await _ids(client)
            assert [state.up for state in client.replicas()] == [False, True]
            dead.dead = False
            await client.look()
            await _ids(client)
            await _ids(client)
        assert len(dead.asked) == 1

    _run(test)


def test_attempts_end_with_the_error() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(0, _GONE)] * 10)
        async with _fleet(only) as client:
            with pytest.raises(EngineUnavailableError, match="gone"):
                await _ids(client)
        assert len(only.asked) == 3

    _run(test)


def test_a_version_that_a_dead_replica_had_is_unavailable_not_unknown() -> None:
    async def test() -> None:
        dead, other = generator(2), generator(1)
        async with _fleet(dead, other) as client:
            dead.dead = True
            await client.look()
            with pytest.raises(EngineUnavailableError):
                await _ids(client, target=Target("smollm2", 2))

    _run(test)


def test_a_full_queue_everywhere_is_said_at_once() -> None:
    async def test() -> None:
        replicas = [generator(1), generator(1)]
        for replica in replicas:
            replica.faults.extend([Fault(0, QueueFullError("full"))] * 9)
        async with _fleet(*replicas) as client:
            with pytest.raises(QueueFullError):
                await _ids(client)
        assert [len(replica.asked) for replica in replicas] == [1, 1]

    _run(test)


@pytest.mark.parametrize("error", [_GONE, DeadlineError("hangs"), RequestCancelledError("SIGTERM")])
def test_a_cut_answer_goes_on_elsewhere_with_what_was_received(error: ServingError) -> None:
    async def test() -> None:
        replicas = [generator(1), generator(1)]
        for replica in replicas:
            replica.faults.append(Fault(4, error))
        async with _fleet(*replicas) as client:
            request = GenerationRequest(
                [10], 9, sampling=Sampling(min_tokens=6, seed=5, top_p=0.9), request_id="r"
            )
            chunks = [chunk async for chunk in client.generate(_TARGET, request)]
        # Cut after 4, then after 4 more, then the last one.
        assert [i for chunk in chunks for i in chunk.token_ids] == list(range(11, 20))
        assert sum(len(chunk.log_probs) for chunk in chunks) == 9
        assert chunks[-1].finish is FinishReason.LENGTH
        asked = [request for replica in replicas for _, request in replica.asked]
        assert sorted(r.max_tokens for r in asked) == [1, 5, 9]
        assert {r.sampling.min_tokens for r in asked} == {6, 2, 0}
        assert len({r.sampling.seed for r in asked}) == 3
        second = next(r for r in asked if r.max_tokens == 5)
        assert list(second.input_ids) == [10, 11, 12, 13, 14]

    _run(test)


def test_one_replica_goes_on_by_itself_after_its_repair() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(2, _GONE), Fault(0, _GONE), Fault(0, ModelNotFoundError("x"))])
        async with _fleet(only, retry=RetryPolicy(attempts=1)) as client:
            assert await _ids(client) == [11, 12, 13, 14, 15, 16]

    _run(test)


def test_an_answer_of_which_only_the_end_was_lost_is_ended() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(99, _GONE)] * 2)
        async with _fleet(only) as client:
            full = [chunk async for chunk in client.generate(_TARGET, _REQUEST)]
            ended = GenerationRequest([10], 6, end_ids=frozenset({13}))
            short = [chunk async for chunk in client.generate(_TARGET, ended)]
        assert full[-1].finish is FinishReason.LENGTH
        assert short[-1].finish is FinishReason.STOP
        assert [i for chunk in short for i in chunk.token_ids] == [11, 12, 13]
        assert len(only.asked) == 2

    _run(test)


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"guide": Guide(GuideKind.REGEX, "a+")}, _TARGET),
        ({"sampling": Sampling(presence_penalty=0.5)}, _TARGET),
        ({"sampling": Sampling(frequency_penalty=0.5)}, _TARGET),
        ({"stop_sequences": ((1, 2),)}, _TARGET),
        ({"sequences": 2}, _TARGET),
        ({}, Target("smollm2")),
    ],
)
def test_what_cannot_be_continued_ends_with_its_error(
    change: dict[str, object], target: Target
) -> None:
    async def test() -> None:
        replicas = [generator(1), generator(1)]
        for replica in replicas:
            replica.faults.append(Fault(4, _GONE))
        request = GenerationRequest([10], 9, **change)  # type: ignore[arg-type]
        async with _fleet(*replicas) as client:
            with pytest.raises(EngineUnavailableError, match="gone"):
                await _ids(client, request, target)
        assert sum(len(replica.asked) for replica in replicas) == 1

    _run(test)


def test_an_answer_that_is_cut_again_and_again_ends() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(1, _GONE)] * 50)
        async with _fleet(only) as client:
            with pytest.raises(EngineUnavailableError):
                await _ids(client, GenerationRequest([10], 40))
        assert len(only.asked) == 4

    _run(test)


def test_a_refused_continuation_says_what_cut_the_answer() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(2, _GONE), Fault(0, InvalidRequestError("too long"))])
        async with _fleet(only) as client:
            with pytest.raises(EngineUnavailableError, match="gone"):
                await _ids(client)

    _run(test)


def test_the_callers_time_is_not_extended() -> None:
    async def test() -> None:
        only = generator(1)
        only.faults.extend([Fault(2, DeadlineError("over")), Fault(0, DeadlineError("over"))])
        async with _fleet(only) as client:
            limits = Deadlines(total_s=0.0)
            with pytest.raises(DeadlineError):
                async for _ in client.generate(_TARGET, _REQUEST, deadlines=limits):
                    pass
            with pytest.raises(DeadlineError):
                await _ids(client)
        assert len(only.asked) == 2

    _run(test)


def test_embeddings_fail_over_and_come_from_one_replica() -> None:
    async def test() -> None:
        replicas = [FakeReplica({"minilm": {1, 2}}) for _ in range(2)]
        async with _fleet(*replicas) as client:
            replicas[0].dead = True
            found = [await client.embed(Target("minilm"), ["a", "b"]) for _ in range(3)]
        assert {(embeddings.version, len(embeddings.vectors)) for embeddings in found} == {(2, 2)}
        assert len(replicas[0].asked) <= 1

    _run(test)


def test_stop_reaches_every_replica_that_may_have_the_request() -> None:
    async def test() -> None:
        replicas = [generator(1), generator(1), generator(2)]
        async with _fleet(*replicas) as client:
            await client.stop(_TARGET, "r-1")
            with pytest.raises(ModelNotFoundError):
                await client.stop(Target("smollm2", 9), "r-1")
        assert [replica.stopped for replica in replicas] == [["r-1"], ["r-1"], []]

    _run(test)


def test_the_index_is_merged_and_needs_one_replica() -> None:
    async def test() -> None:
        replicas = [generator(1), generator(2)]
        async with _fleet(*replicas) as client:
            index = set(client.repository_index())
            assert {("smollm2.tensorrt_llm", v, "READY") for v in "12"} <= index
            assert (await client.model_config("smollm2")).name == "smollm2"
            for replica in replicas:
                replica.dead = True
            await client.look()
            with pytest.raises(EngineUnavailableError):
                client.repository_index()

    _run(test)


def test_a_replica_that_leaves_finishes_what_it_has() -> None:
    async def test() -> None:
        leaving, staying = generator(1), generator(1)
        leaving.hold = asyncio.Event()
        fake = FakeFleet([leaving, staying])
        async with AsyncFleetClient(fake, look_every_s=3600.0, connect=fake.connect) as client:
            tasks = [asyncio.create_task(_ids(client)) for _ in range(2)]
            while not leaving.asked:  # noqa: ASYNC110
                await asyncio.sleep(0)
            del fake.by_address["host:1"]
            await client._members.discover()
            assert [state.name for state in client.replicas()] == ["host:2"]
            assert not leaving.closed
            leaving.hold.set()
            assert await asyncio.gather(*tasks) == [[11, 12, 13, 14, 15, 16]] * 2
            await client._members.discover()
            assert leaving.closed

    _run(test)
