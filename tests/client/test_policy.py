from __future__ import annotations

import asyncio
from collections import deque

import pytest
from enginehouse.client import AsyncTritonClient, Deadlines, RetryPolicy, Target, TritonClient

from enginehouse.errors import DeadlineError, EngineUnavailableError, ModelNotFoundError
from enginehouse.generation import GenerationRequest
from tests.conftest import RunningStack, free_ports, wait_until

_SMOLLM2 = Target("smollm2")
_LONG = GenerationRequest(list(range(100, 150)), 4000)


@pytest.mark.parametrize(
    ("elapsed_s", "started", "expected_s"),
    [(0, False, 5), (4, False, 1), (6, False, 0), (6, True, 2), (9, True, 1), (11, True, 0)],
)
def test_the_nearest_limit_counts(elapsed_s: float, *, started: bool, expected_s: float) -> None:
    limits = Deadlines(total_s=10, first_token_s=5, between_tokens_s=2)
    assert limits.wait_s(elapsed_s=elapsed_s, started=started) == expected_s


def test_no_limits_wait_for_ever() -> None:
    assert Deadlines(None, None, None).wait_s(elapsed_s=1e9, started=True) is None


def test_nobody_there_is_unavailable_after_the_last_attempt() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    retry = RetryPolicy(attempts=2, base_s=0.01)
    with TritonClient(address, retry=retry) as client, pytest.raises(EngineUnavailableError):
        list(client.generate(_SMOLLM2, _LONG))

    async def ask() -> None:
        async with AsyncTritonClient(address, retry=retry) as client:
            async for _ in client.generate(_SMOLLM2, _LONG):
                pass

    with pytest.raises(EngineUnavailableError):
        asyncio.run(ask())


def test_an_unknown_model_is_not_found(stack: RunningStack) -> None:
    with TritonClient(stack.grpc) as client, pytest.raises(ModelNotFoundError):
        list(client.generate(Target("nobody"), _LONG))


@pytest.mark.parametrize(
    ("limits", "tokens_first"),
    [(Deadlines(first_token_s=0.001), False), (Deadlines(total_s=1.0), True)],
)
def test_a_deadline_ends_the_request_on_the_engine_too(
    stack: RunningStack, limits: Deadlines, *, tokens_first: bool
) -> None:
    with TritonClient(stack.grpc) as client:
        chunks = client.generate(_SMOLLM2, _LONG, deadlines=limits)
        if tokens_first:
            assert next(chunks).token_ids
        with pytest.raises(DeadlineError):
            deque(chunks, maxlen=0)

    async def ask() -> None:
        async with AsyncTritonClient(stack.grpc) as client:
            async for _ in client.generate(_SMOLLM2, _LONG, deadlines=limits):
                pass

    with pytest.raises(DeadlineError):
        asyncio.run(ask())
    wait_until(lambda: stack.engine_metric("requests_in_flight") == 0, "an idle engine")
