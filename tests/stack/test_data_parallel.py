"""Two engine instances of one version, each with its share of the CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from enginehouse.client import Target, TritonClient

from enginehouse.bundle import Bundle
from enginehouse.generation import GenerationRequest
from tests.conftest import RunningStack, copied_home, running_stack, stack_env

pytestmark = pytest.mark.slow(
    reason="a stack of its own with two engines; replicas are in tests/releases"
)


@pytest.fixture(scope="module")
def twins(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("twins")
    copied_home(home, bundle)
    with running_stack(stack_env(home, instances=2)) as running:
        yield running


def _by_instance(stack: RunningStack, name: str) -> dict[str, float]:
    page = httpx.get(stack.settings.addresses.triton_metrics_url, timeout=10.0).text
    lines = [x for x in page.splitlines() if x.startswith(f"enginehouse_engine_{name}{{")]
    return {x.split('instance="')[1].split('"')[0]: float(x.split()[-1]) for x in lines}


def test_both_instances_work_and_answer_alike(twins: RunningStack) -> None:
    request = GenerationRequest([1, 9690, 198, 2683], max_tokens=8, end_ids=frozenset({2}))

    def ask(_: int) -> tuple[int, ...]:
        chunks = client.generate(Target("smollm2"), request)
        return tuple(i for chunk in chunks for i in chunk.token_ids)

    with TritonClient(twins.grpc) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(32)))
    assert len(set(answers)) == 1
    prompts = _by_instance(twins, "prompt_tokens_total")
    assert set(prompts) == {"0", "1"}
    assert all(count > 64 * 2 for count in prompts.values())


def test_stop_finds_the_instance_that_has_the_request(twins: RunningStack) -> None:
    long = GenerationRequest([1, 9690], max_tokens=4000, end_ids=frozenset())
    with TritonClient(twins.grpc) as client, TritonClient(twins.grpc) as other:
        for index in range(4):
            request_id = f"long-{index}"
            running = client.generate(
                Target("smollm2"),
                GenerationRequest(long.input_ids, long.max_tokens, request_id=request_id),
            )
            count = len(next(running).token_ids)
            other.stop(Target("smollm2"), request_id)
            count += sum(len(chunk.token_ids) for chunk in running)
            assert count < 4000
