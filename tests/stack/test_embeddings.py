"""Embeddings through the real stack, beside a text generator."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc as triton
from enginehouse.build.embedding_parity import find_reference
from enginehouse.client import AsyncTritonClient, Target, TritonClient
from enginehouse.stack.triton_server import stub_pids

from enginehouse.bundle import Bundle
from enginehouse.errors import ContextOverflowError, ServingError
from tests.conftest import (
    BOTH_READY,
    RunningStack,
    call_cli,
    wait_until,
)

_DOCUMENTS = [
    "To change your password, open Settings, choose Security and follow the link in the e-mail.",
    "Refunds are paid to the card that was charged, within five working days.",
    "The office in Lisbon is open from nine to six, except on public holidays.",
    "Bake the bread at 230 degrees for forty minutes, with steam for the first ten.",
    "A steam engine turns the pressure of steam into motion by a piston in a cylinder.",
]
_QUERIES = {
    "I forgot my login credentials": 0,
    "When do I get my money back?": 1,
    "opening hours in Portugal": 2,
    "how long does a loaf stay in the oven?": 3,
    "Who turns heat into mechanical work?": 4,
}
_TOO_LONG = "word " * 300


@pytest.fixture(scope="module")
def sdk(both: RunningStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{both.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def _vectors(sdk: openai.OpenAI, texts: list[str]) -> np.ndarray:
    answer = sdk.embeddings.create(model="minilm", input=texts)
    assert [item.index for item in answer.data] == list(range(len(texts)))
    return np.array([item.embedding for item in answer.data], np.float32)


def _refusal(stack: RunningStack, path: str = "embeddings", **body: object) -> dict[str, str]:
    answer = httpx.post(f"{stack.url}/v1/{path}", json={"model": "minilm", **body}, timeout=60.0)
    assert answer.status_code == 400, answer.text
    error: dict[str, str] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_the_sdk_gets_the_references_vectors_in_both_encodings(
    sdk: openai.OpenAI, embedding_bundle: Bundle
) -> None:
    reference = find_reference(embedding_bundle.manifest.checkpoint.sha256)
    assert reference is not None
    known = dict(zip(reference.texts, reference.embeddings, strict=True))
    texts = [text for text in reference.texts if 0 < len(text) < 500]
    assert len(texts) >= 12
    packed = sdk.embeddings.create(model="minilm", input=texts)
    plain = sdk.embeddings.create(model="minilm", input=texts, encoding_format="float")
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 2 * len(texts)
    for text, one, other in zip(texts, packed.data, plain.data, strict=True):
        assert np.abs(np.array(one.embedding) - known[text]).max() <= 1e-3, text
        assert np.allclose(one.embedding, other.embedding, atol=1e-6)


def test_retrieval_ranks_the_right_document_first(sdk: openai.OpenAI) -> None:
    scores = _vectors(sdk, list(_QUERIES)) @ _vectors(sdk, _DOCUMENTS).T
    assert scores.argmax(axis=1).tolist() == list(_QUERIES.values())


def test_more_texts_than_a_batch_come_back_in_order(sdk: openai.OpenAI) -> None:
    texts = [f"text number {index}" for index in range(150)]
    together = _vectors(sdk, texts)
    assert np.allclose(together[[0, 77, 149]], _vectors(sdk, [texts[i] for i in (0, 77, 149)]),
                       atol=1e-5)  # fmt: skip


def test_wrong_inputs_are_refused_by_name(both: RunningStack) -> None:
    assert "empty" in _refusal(both, input=[])["message"]
    assert "index 1" in _refusal(both, input=["a", ""])["message"]
    assert "token ids" in _refusal(both, input=[1, 2])["message"]
    assert "token ids" in _refusal(both, input=[[1, 2]])["message"]
    assert "at most 2048" in _refusal(both, input=["a"] * 2049)["message"]
    assert "vectors of 384" in _refusal(both, input="a", dimensions=256)["message"]
    assert _refusal(both, input="a", encoding_format="int8")["param"] == "encoding_format"
    long = _refusal(both, input=["a", _TOO_LONG])
    assert (long["code"], long["param"]) == ("context_length_exceeded", "input")
    assert "maximum context length is 256 tokens" in long["message"]


def test_each_kind_of_model_points_to_its_own_endpoint(both: RunningStack) -> None:
    ask = {"messages": [{"role": "user", "content": "hello"}]}
    message = _refusal(both, "chat/completions", **ask)["message"]
    assert message == "'minilm' is an embedding model; use /v1/embeddings"
    assert "/v1/embeddings" in _refusal(both, "completions", prompt="a")["message"]
    error = _refusal(both, model="smollm2", input="a")
    assert "use /v1/chat/completions" in error["message"]
    unknown = httpx.post(f"{both.url}/v1/embeddings", json={"model": "nobody", "input": "a"})
    assert unknown.status_code == 404


def test_both_kinds_are_listed_ready_and_counted(both: RunningStack, sdk: openai.OpenAI) -> None:
    listed = {m["id"]: m["enginehouse"] for m in httpx.get(f"{both.url}/v1/models").json()["data"]}
    assert listed["smollm2"]["kind"] == "generator"
    assert (listed["minilm"]["kind"], listed["minilm"]["dimensions"]) == ("embedding", 384)
    assert both.verdicts() == BOTH_READY
    _vectors(sdk, ["count me"])
    labels = 'requests_total{code="200",endpoint="embeddings",model="minilm",version="1"}'
    assert labels in httpx.get(f"{both.url}/metrics").text


def test_a_generator_answers_beside_it(sdk: openai.OpenAI) -> None:
    answer = sdk.completions.create(model="smollm2", prompt="1 2 3", max_tokens=3, temperature=0)
    assert answer.choices[0].text


def _triton_count(stack: RunningStack, name: str) -> int:
    page = httpx.get(stack.settings.addresses.triton_metrics_url, timeout=10.0).text
    full = f'{name}{{model="minilm"'
    return sum(int(line.split()[-1]) for line in page.splitlines() if line.startswith(full))


def test_concurrent_requests_share_executions(both: RunningStack) -> None:
    names = ("nv_inference_request_success", "nv_inference_exec_count")
    before = [_triton_count(both, name) for name in names]

    async def ask() -> list[int]:
        async with AsyncTritonClient(both.grpc) as client:
            calls = (client.embed(Target("minilm"), [f"text {i}"]) for i in range(64))
            return [len(found.vectors) for found in await asyncio.gather(*calls)]

    assert asyncio.run(ask()) == [1] * 64
    requests, executions = (
        _triton_count(both, name) - count for name, count in zip(names, before, strict=True)
    )
    assert requests >= 64
    assert executions <= requests / 2


def test_a_bad_text_fails_alone_among_concurrent_ones(both: RunningStack) -> None:
    texts = ["good", _TOO_LONG] * 16

    async def ask() -> list[object]:
        async with AsyncTritonClient(both.grpc) as client:
            calls = (client.embed(Target("minilm"), [text]) for text in texts)
            return await asyncio.gather(*calls, return_exceptions=True)

    for text, result in zip(texts, asyncio.run(ask()), strict=True):
        if text == "good":
            assert not isinstance(result, BaseException), result
        else:
            assert isinstance(result, ContextOverflowError)
            assert result.field == "text_input"


def test_the_vendors_client_speaks_to_it(both: RunningStack) -> None:
    text = triton.InferInput("text_input", [2, 1], "BYTES")
    text.set_data_from_numpy(np.array([[b"one"], [b"two words"]], dtype=np.object_))
    with triton.InferenceServerClient(both.grpc) as client:
        result = client.infer("minilm", [text])
    assert result.as_numpy("embedding").shape == (2, 384)
    assert result.as_numpy("num_input_tokens").tolist() == [[3], [4]]


class _Traffic:
    """Requests one after the other, to Triton and to the adapter, until it is told to stop."""

    def __init__(self, stack: RunningStack) -> None:
        self.versions: list[int] = []
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(2)
        asking = (self._ask_triton, stack.grpc), (self._ask_adapter, stack.url)
        self._running = [self._pool.submit(ask, address) for ask, address in asking]

    def _ask_triton(self, address: str) -> None:
        with TritonClient(address) as client:
            while not self._stop.is_set():
                try:
                    found = client.embed(Target("minilm"), ["a", "few", "texts"] * 20)
                    self.versions.append(found.version)
                except ServingError as error:
                    self.errors.append(str(error))

    def _ask_adapter(self, url: str) -> None:
        body = {"model": "minilm", "input": ["a", "few", "texts"] * 20}
        with httpx.Client(base_url=url, timeout=60.0) as client:
            while not self._stop.is_set():
                answer = client.post("/v1/embeddings", json=body)
                if answer.is_success:
                    self.versions.append(int(answer.headers["x-enginehouse-version"]))
                else:
                    self.errors.append(answer.text)

    def finish(self) -> None:
        self._stop.set()
        for each in self._running:
            each.result()
        self._pool.shutdown()


def test_promotion_and_rollback_lose_no_request(both: RunningStack) -> None:
    traffic = _Traffic(both)
    triton_pid = next(p.pid for p in both.family() if p.name() == "tritonserver")
    try:
        for version, other in ((2, 1), (1, 2)):
            assert call_cli(both.env, "promote", "minilm", version).returncode == 0
            wait_until(lambda v=version: traffic.versions[-1:] == [v], f"version {version}")
            gone = f"minilm/{other}"
            wait_until(lambda g=gone: g not in stub_pids(triton_pid), f"{gone} unloaded")
    finally:
        traffic.finish()
    assert traffic.errors == []
    assert {1, 2} == set(traffic.versions)
    answer = httpx.post(f"{both.url}/v1/embeddings", json={"model": "minilm", "input": "a"})
    assert answer.headers["x-enginehouse-version"] == "1"


def test_a_name_is_of_one_kind(both: RunningStack, embedding_bundle: Bundle) -> None:
    done = call_cli(both.env, "register", embedding_bundle.path, "--name", "smollm2")
    assert done.returncode == 1
    assert "register it under a name of its own" in done.stderr.replace("\n", " ")


def test_a_killed_stub_is_repaired(both: RunningStack, tmp_path: Path) -> None:
    triton_pid = next(p.pid for p in both.family() if p.name() == "tritonserver")
    engine = stub_pids(triton_pid)["minilm/1"]
    os.kill(engine, signal.SIGKILL)

    def answers() -> bool:
        body = {"model": "minilm", "input": "a"}
        return httpx.post(f"{both.url}/v1/embeddings", json=body, timeout=60.0).is_success

    wait_until(lambda: stub_pids(triton_pid).get("minilm/1", engine) != engine, "a new stub")
    wait_until(answers, "an answer after the repair")
    wait_until(both.ready, "readiness")
