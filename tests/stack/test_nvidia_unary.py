"""NVIDIA's names with `decoupled_mode: False`: the request forms of NVIDIA's tools that infer once.

Forms, names, shapes and flows are those of NVIDIA/TensorRT-LLM `triton_backend/`:
`inflight_batcher_llm/client/inflight_batcher_llm_client.py` and `end_to_end_grpc_client.py`,
`tools/inflight_batcher_llm/benchmark_core_model.py` and `end_to_end_test.py`,
`ci/L0_backend_trtllm/base_metrics_verification_tests.py`; written anew from them.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from tritonclient.utils import np_to_triton_dtype

from enginehouse.bundle import Bundle
from tests.conftest import RunningStack, copied_home, running_stack, stack_env, wait_until
from tests.stack.test_triton_clients import ANSWER, PROMPT

_IDS = [1, 9690, 198]
_LEN = 16

pytestmark = pytest.mark.slow(
    reason="a stack of its own for one more form of what test_compat_names.py asks"
)


@pytest.fixture(scope="module")
def unary(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("unary")
    copied_home(home, bundle)
    env = stack_env(home) | {
        "ENGINEHOUSE_COMPAT_NAMES": "smollm2",
        "ENGINEHOUSE_COMPAT_DECOUPLED": "false",
    }
    with running_stack(env) as running:
        yield running


def _tensors(client: Any, arrays: dict[str, Any]) -> list[Any]:
    tensors = []
    for name, value in arrays.items():
        array = np.asarray(value)
        tensor = client.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _i32(*rows: Any) -> Any:
    return np.array(rows, dtype=np.int32)


def _f32(value: float) -> Any:
    return np.array([[value]], dtype=np.float32)


def _flag(value: bool = True) -> Any:  # noqa: FBT001, FBT002 - a value, not a switch
    return np.array([[value]], dtype=bool)


def _text(value: str) -> Any:
    return np.array([[value]]).astype(object)


def _in_flight(**extra: Any) -> dict[str, Any]:
    """What the in-flight client always sends, and what an option of it adds."""
    return {
        "input_ids": _i32(_IDS),
        "input_lengths": _i32([len(_IDS)]),
        "request_output_len": _i32([_LEN]),
        "beam_width": _i32([1]),
        "temperature": _f32(1.0),
        "streaming": _flag(False),
        "end_id": _i32([-1]),
        "pad_id": _i32([50256]),
        "runtime_top_k": _i32([1]),
        "runtime_top_p": _f32(0.0),
        **extra,
    }


def _asked_once(stack: RunningStack, arrays: dict[str, Any], **options: Any) -> Any:
    """As the in-flight client does without `--streaming`: `async_infer` and a parameter."""
    ended: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(stack.grpc) as client:
        client.async_infer(
            "tensorrt_llm",
            _tensors(triton, arrays),
            callback=lambda result, error: ended.put(error or result),
            parameters={"Streaming": False},
            **options,
        )
        result = ended.get(timeout=120)
    if isinstance(result, Exception):
        raise result
    return result


@pytest.mark.parametrize(
    ("extra", "outputs"),
    [
        ({}, {}),
        ({"exclude_input_in_output": _flag()}, {}),
        (
            {"return_log_probs": _flag()},
            {"cum_log_probs": (1, 1), "output_log_probs": (1, 1, _LEN)},
        ),
        (
            {"return_num_input_tokens": _flag(), "return_num_output_tokens": _flag()},
            {"num_input_tokens": (1, 1), "num_output_tokens": (1, 1)},
        ),
        (
            {
                "runtime_top_k": _i32([5]),
                "runtime_top_p": _f32(0.9),
                "repetition_penalty": _f32(1.1),
                "presence_penalty": _f32(0.1),
                "frequency_penalty": _f32(0.1),
            },
            {},
        ),
    ],
    ids=["plain", "exclude-input-in-output", "return-log-probs", "counts", "sampling"],
)
def test_in_flight_client_without_streaming(
    unary: RunningStack, extra: dict[str, Any], outputs: dict[str, tuple[int, ...]]
) -> None:
    result = _asked_once(unary, _in_flight(**extra))
    ids = result.as_numpy("output_ids")[0][0].tolist()
    prompt = [] if "exclude_input_in_output" in extra else _IDS
    assert ids[: len(prompt)] == prompt
    assert len(ids) == len(prompt) + _LEN
    assert result.as_numpy("sequence_length")[0][0] == len(ids)
    for name, shape in outputs.items():
        assert result.as_numpy(name).shape == shape


def test_in_flight_client_with_requested_outputs(unary: RunningStack) -> None:
    names = ["output_ids", "sequence_length"]
    requested = [triton.InferRequestedOutput(name) for name in names]
    result = _asked_once(unary, _in_flight(), outputs=requested)
    assert [output.name for output in result.get_response().outputs] == names


def test_in_flight_client_stops_early_by_a_stop_request(unary: RunningStack) -> None:
    ended: queue.Queue[Any] = queue.Queue()

    def note(result: Any, error: Any) -> None:
        ended.put(error or result)

    stop = {
        "input_ids": np.empty([1, 1], dtype=np.int32),
        "input_lengths": _i32([0]),
        "request_output_len": _i32([0]),
        "stop": _flag(),
    }
    with triton.InferenceServerClient(unary.grpc) as client:
        for arrays in (_in_flight(request_output_len=_i32([4000])), stop):
            client.async_infer(
                "tensorrt_llm",
                _tensors(triton, arrays),
                request_id="1",
                callback=note,
                parameters={"Streaming": False},
            )
            if arrays is not stop:
                wait_until(lambda: unary.engine_metric("requests_in_flight") > 0, "the request")
        results = [ended.get(timeout=60) for _ in range(2)]
    lengths = [r.as_numpy("sequence_length") for r in results]
    assert any(length is None for length in lengths)
    assert all(length is None or length[0][0] < 4000 for length in lengths)


def test_in_flight_client_stops_early_by_cancelling(unary: RunningStack) -> None:
    before = unary.engine_metric("requests_cancelled_total")
    ended: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(unary.grpc) as client:
        call = client.async_infer(
            "tensorrt_llm",
            _tensors(triton, _in_flight(request_output_len=_i32([4000]))),
            request_id="1",
            callback=lambda result, error: ended.put(error or result),
            parameters={"Streaming": False},
        )
        wait_until(lambda: unary.engine_metric("requests_in_flight") > 0, "the request")
        call.cancel()
        error = ended.get(timeout=60)
        assert error.status() == "StatusCode.CANCELLED"
        wait_until(
            lambda: unary.engine_metric("requests_cancelled_total") > before, "the request's end"
        )


def _streamed(stack: RunningStack, model: str, arrays: dict[str, Any]) -> list[Any]:
    """As both gRPC clients do for several sequences and for texts: a stream that they close."""
    arrived: queue.Queue[Any] = queue.Queue()
    with triton.InferenceServerClient(stack.grpc) as client:
        client.start_stream(lambda result, error: arrived.put(error or result))
        client.async_stream_infer(model, _tensors(triton, arrays))
        client.stop_stream()
    return list(arrived.queue)


def test_in_flight_client_with_several_sequences(unary: RunningStack) -> None:
    sampled = {"num_return_sequences": _i32([2]), "runtime_top_k": _i32([50])}
    (result,) = _streamed(unary, "tensorrt_llm", _in_flight(**sampled))
    assert result.as_numpy("output_ids").shape == (1, 2, len(_IDS) + _LEN)
    assert result.as_numpy("sequence_length").shape == (1, 2)


def test_in_flight_client_with_streaming_is_told_why_not(unary: RunningStack) -> None:
    (error,) = _streamed(unary, "tensorrt_llm", _in_flight(streaming=_flag()))
    assert isinstance(error, triton.InferenceServerException)
    assert "streaming is true, but 'tensorrt_llm' answers once" in str(error)


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm_bls"])
def test_end_to_end_client_without_streaming(unary: RunningStack, model: str) -> None:
    arrays = {
        "text_input": _text(PROMPT),
        "max_tokens": _i32([30]),
        "stream": _flag(False),
        "beam_width": _i32([1]),
        "temperature": _f32(1.0),
        "repetition_penalty": _f32(1.0),
        "bad_words": np.array([[" Berlin"]], dtype=object),
        "stop_words": np.array([[" Berlin"]], dtype=object),
        "exclude_input_in_output": _flag(),
    }
    (result,) = _streamed(unary, model, arrays)
    assert result.as_numpy("text_output")[0].decode("utf-8") == ANSWER


@pytest.mark.parametrize("protocol", [triton, triton_http], ids=["grpc", "http"])
def test_benchmark_client(unary: RunningStack, protocol: Any) -> None:
    """A warm-up by `infer`, then one `async_infer` a prompt, answers matched by request id."""
    url = unary.grpc
    options: dict[str, Any] = {}
    if protocol is triton_http:
        url = unary.settings.addresses.triton_http_url.removeprefix("http://")
        options["concurrency"] = 16

    def inputs(length: int) -> list[Any]:
        arrays = {
            "input_ids": _i32(_IDS),
            "input_lengths": _i32([len(_IDS)]),
            "request_output_len": _i32([length]),
            "pad_id": _i32([2]),
            "end_id": _i32([2]),
        }
        return _tensors(protocol, arrays)

    with protocol.InferenceServerClient(url, **options) as client:
        warm = client.infer("tensorrt_llm", inputs(10), request_id="0")
        assert warm.as_numpy("output_ids") is not None
        if protocol is triton_http:
            calls = [
                client.async_infer("tensorrt_llm", inputs(8 + i), request_id=str(i))
                for i in range(16)
            ]
            found = {c.get_result().get_response()["id"] for c in calls}
        else:
            ended: queue.Queue[Any] = queue.Queue()
            for i in range(16):
                client.async_infer(
                    "tensorrt_llm",
                    inputs(8 + i),
                    request_id=str(i),
                    callback=lambda result, error: ended.put(error or result),
                )
            found = {ended.get(timeout=60).get_response().id for _ in range(16)}
    assert found == {str(i) for i in range(16)}


def test_base_metrics_of_the_four_models(unary: RunningStack) -> None:
    """Each request to the ensemble is one of each of its steps."""
    names = ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing")

    def counts() -> list[int]:
        page = httpx.get(unary.settings.addresses.triton_metrics_url, timeout=30).text
        found = []
        for name in names:
            start = f'nv_inference_request_success{{model="{name}",'
            lines = [line for line in page.splitlines() if line.startswith(start)]
            found.append(sum(int(float(line.split()[-1])) for line in lines))
        return found

    before = counts()
    url = unary.settings.addresses.triton_http_url.removeprefix("http://")
    with triton_http.InferenceServerClient(url, concurrency=16) as client:
        arrays = {
            "text_input": _text(PROMPT),
            "bad_words": _text(""),
            "stop_words": _text(""),
            "stream": _flag(False),
        }
        calls = [
            client.async_infer(
                "ensemble",
                _tensors(triton_http, arrays | {"max_tokens": _i32([4 + i])}),
                outputs=[triton_http.InferRequestedOutput("text_output")],
                request_id=str(i),
            )
            for i in range(8)
        ]
        texts = [call.get_result().as_numpy("text_output")[0].decode() for call in calls]
    assert all(text.startswith("user") or PROMPT[:12] in text for text in texts)
    wait_until(
        lambda: [now - then for now, then in zip(counts(), before, strict=True)] == [8] * 4,
        "eight requests in each",
    )
