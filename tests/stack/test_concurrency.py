"""Many streams at once, gone clients, poisoned requests: seen in the engine's own metrics."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from enginehouse.client import Target, TritonClient

from enginehouse.errors import ServingError
from enginehouse.generation import GenerationRequest, Guide, GuideKind
from tests.conftest import RunningStack, wait_until


def _idle(stack: RunningStack) -> bool:
    return stack.engine_metric("requests_in_flight") == stack.engine_metric("requests_waiting") == 0


@pytest.mark.slow(reason="64 real answers; test_lifecycle.py overloads a generator")
def test_64_concurrent_streams_all_complete(stack: RunningStack) -> None:
    async def one(client: openai.AsyncOpenAI, index: int) -> tuple[int, str | None]:
        chunks = await client.chat.completions.create(
            model="smollm2",
            messages=[{"role": "user", "content": f"Tell me {index} things about the sea."}],
            max_tokens=24,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        tokens, finish = 0, None
        async for chunk in chunks:
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
            if chunk.choices:
                finish = chunk.choices[0].finish_reason or finish
        return tokens, finish

    async def all_at_once() -> list[tuple[int, str | None]]:
        async with openai.AsyncOpenAI(
            base_url=f"{stack.url}/v1", api_key="unused", max_retries=0, timeout=120
        ) as client:
            return await asyncio.gather(*(one(client, index) for index in range(64)))

    assert asyncio.run(all_at_once()) == [(24, "length")] * 64
    wait_until(lambda: _idle(stack), "an idle engine")
    assert stack.engine_metric("kv_cache_usage_ratio") == 0


def test_a_streaming_clients_disconnect_frees_its_slot(stack: RunningStack) -> None:
    wait_until(lambda: _idle(stack), "an idle engine")
    before = stack.engine_metric("requests_cancelled_total")
    body: dict[str, Any] = {"model": "smollm2", "prompt": "1 2 3", "max_tokens": 6000,
                            "ignore_eos": True, "temperature": 0, "stream": True}  # fmt: skip
    with httpx.stream("POST", f"{stack.url}/v1/completions", json=body, timeout=60.0) as answer:
        lines = answer.iter_lines()  # dropped, it would close the response
        next(lines)
        wait_until(lambda: stack.engine_metric("requests_in_flight") == 1, "a running request")
    wait_until(lambda: _idle(stack), "a freed slot")
    assert stack.engine_metric("requests_cancelled_total") == before + 1


def test_a_waiting_clients_disconnect_frees_its_slot(stack: RunningStack) -> None:
    wait_until(lambda: _idle(stack), "an idle engine")
    before = stack.engine_metric("requests_cancelled_total")
    body = {"model": "smollm2", "prompt": "1 2 3", "max_tokens": 6000, "ignore_eos": True}

    async def leave() -> None:
        async with httpx.AsyncClient() as client:
            post = client.post(f"{stack.url}/v1/completions", json=body, timeout=60.0)
            asking = asyncio.create_task(post)
            running = lambda: stack.engine_metric("requests_in_flight") == 1  # noqa: E731
            await asyncio.to_thread(wait_until, running, "a running request")
            asking.cancel()

    asyncio.run(leave())
    wait_until(lambda: _idle(stack), "a freed slot")
    assert stack.engine_metric("requests_cancelled_total") == before + 1


def test_a_bad_guide_never_reaches_the_batch_of_8_others(stack: RunningStack) -> None:
    """In the engine it would make the whole batch's step fail."""
    recoveries = stack.engine_metric("recoveries_total")
    prompt = list(range(100, 120))

    def run(guide: Guide | None) -> list[int] | ServingError:
        request = GenerationRequest(prompt, 60, guide=guide, end_ids=frozenset({2}))
        try:
            chunks = client.generate(Target("smollm2"), request)
            return [i for chunk in chunks for i in chunk.token_ids]
        except ServingError as error:
            return error

    bad = Guide(GuideKind.EBNF_GRAMMAR, "root ::= nonsense")
    with TritonClient(stack.grpc) as client, ThreadPoolExecutor(9) as pool:
        alone = run(None)
        others = [pool.submit(run, None) for _ in range(8)]
        wait_until(lambda: stack.engine_metric("requests_in_flight") == 8, "8 running requests")
        poisoned = pool.submit(run, bad).result()
        results = [other.result() for other in others]
    assert isinstance(poisoned, ServingError)
    assert "nonsense" in str(poisoned)
    assert poisoned.field == "guided_decoding_guide"
    assert isinstance(alone, list)
    assert [len(ids) for ids in results if isinstance(ids, list)] == [len(alone)] * 8
    assert stack.engine_metric("recoveries_total") == recoveries


def test_guided_output_matches_its_pattern(stack: RunningStack) -> None:
    with TritonClient(stack.grpc) as client:
        request = GenerationRequest(
            [504, 3575, 282],
            20,
            guide=Guide(GuideKind.REGEX, "[0-9]{4}"),
            end_ids=frozenset({2}),
        )
        chunks = list(client.generate(Target("smollm2"), request))
    assert 1 <= sum(len(chunk.token_ids) for chunk in chunks) <= 6
