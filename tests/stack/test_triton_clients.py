"""Triton-native clients on the contract's models, against the real stack."""

from __future__ import annotations

import json
import queue
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from enginehouse.client import Target, TritonClient

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import GenerationRequest, Sampling
from tests.conftest import RunningStack

PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
ANSWER = "The capital of France is Paris."


def tensor(name: str, value: Any, dtype: str) -> triton.InferInput:
    array = np.asarray(value, dtype=triton.triton_to_np_dtype(dtype))
    made = triton.InferInput(name, array.shape, dtype)
    made.set_data_from_numpy(array)
    return made


def stream(
    address: str, model: str, inputs: list[triton.InferInput], request_id: str = ""
) -> list[Any]:
    """All results of one request, as the vendor's client streams them."""
    arrived: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: arrived.put(error or result))
        client.async_stream_infer(
            model, inputs, request_id=request_id, enable_empty_final_response=True
        )
        results = []
        while True:
            result = arrived.get(timeout=60)
            if isinstance(result, Exception):
                raise result
            results.append(result)
            if result.get_response().parameters["triton_final_response"].bool_param:
                return results


def test_grpc_streaming_on_the_ensemble(stack: RunningStack) -> None:
    inputs = [
        tensor("text_input", [[PROMPT.encode()]], "BYTES"),
        tensor("max_tokens", [[30]], "INT32"),
        tensor("stream", [[True]], "BOOL"),
    ]
    results = stream(stack.grpc, "smollm2", inputs)
    texts = [r.as_numpy("text_output") for r in results]
    pieces = [text.reshape(-1)[0].decode() for text in texts if text is not None]
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 3


def test_grpc_streaming_on_the_engine(stack: RunningStack) -> None:
    inputs = [
        tensor("input_ids", [[1, 9690, 198]], "INT32"),
        tensor("input_lengths", [[3]], "INT32"),
        tensor("request_output_len", [[6]], "INT32"),
        tensor("streaming", [[True]], "BOOL"),
        tensor("end_id", [[-1]], "INT32"),
        tensor("return_log_probs", [[True]], "BOOL"),
    ]
    results = stream(stack.grpc, "smollm2.tensorrt_llm", inputs)
    lengths = [r.as_numpy("sequence_length") for r in results]
    assert sum(int(length[0, 0]) for length in lengths if length is not None) == 6
    assert results[0].as_numpy("output_ids").shape == (1, 1, 1)
    assert results[0].as_numpy("output_log_probs").shape == (1, 1, 1)
    assert results[0].as_numpy("cum_log_probs").dtype == np.float32


def test_http_generate_stream_and_generate(stack: RunningStack) -> None:
    url = f"{stack.settings.addresses.triton_http_url}/v2/models/smollm2"
    body = {"text_input": PROMPT, "max_tokens": 30, "stream": True}
    with httpx.stream("POST", f"{url}/generate_stream", json=body, timeout=60.0) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data:")]
    assert "".join(event["text_output"] for event in events) == ANSWER
    whole = httpx.post(
        f"{url}/generate",
        json={"text_input": PROMPT, "max_tokens": 30, "exclude_input_in_output": True},
        timeout=60.0,
    )
    assert whole.json()["text_output"] == ANSWER


def test_a_whole_answer_holds_the_prompt_by_default(stack: RunningStack) -> None:
    with TritonClient(stack.grpc) as client:
        chunks = list(client.generate(Target("smollm2"), GenerationRequest([1, 2, 3], 2)))
    assert sum(len(chunk.token_ids) for chunk in chunks) == 2
    inputs = [
        tensor("input_ids", [[1, 9690, 198]], "INT32"),
        tensor("input_lengths", [[3]], "INT32"),
        tensor("request_output_len", [[2]], "INT32"),
    ]
    ids = stream(stack.grpc, "smollm2.tensorrt_llm", inputs)[0].as_numpy("output_ids")
    assert ids.reshape(-1).tolist()[:3] == [1, 9690, 198]


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (("beam_width", [[4]], "INT32"), "beam_width"),
        (("return_context_logits", [[True]], "BOOL"), "return_context_logits"),
        (("embedding_bias_words", [[b"x"]], "BYTES"), "EMBEDDING_BIAS_WORDS"),
    ],
)
def test_what_the_runtime_cannot_do_is_refused_by_name(
    stack: RunningStack, extra: tuple[str, Any, str], named: str
) -> None:
    inputs = [
        tensor("text_input", [[b"Hello"]], "BYTES"),
        tensor("max_tokens", [[4]], "INT32"),
        tensor(*extra),
    ]
    with pytest.raises(triton.InferenceServerException, match=named):
        stream(stack.grpc, "smollm2", inputs)


def test_wrong_ids_never_reach_the_engine(stack: RunningStack) -> None:
    with (
        TritonClient(stack.grpc) as client,
        pytest.raises(InvalidRequestError, match="0 to 49151"),
    ):
        list(client.generate(Target("smollm2"), GenerationRequest([60_000], 2)))


def test_stop_with_the_same_id_ends_a_request_through_the_ensemble(stack: RunningStack) -> None:
    with TritonClient(stack.grpc) as client:
        pieces = client.generate_text("smollm2", "Once upon a time", 4000, request_id="end-me")
        next(pieces)
        client.stop(Target("smollm2"), "end-me")
        rest = "".join(pieces)
    assert len(rest) < 2000


def test_sampled_text_through_the_ensemble_repeats_with_its_seed(stack: RunningStack) -> None:
    sampling = Sampling(temperature=1.3, top_p=0.95, seed=11)
    with TritonClient(stack.grpc) as client:
        texts = [
            "".join(client.generate_text("smollm2", "A new word:", 20, sampling=sampling))
            for _ in range(2)
        ]
    assert texts[0] == texts[1]
