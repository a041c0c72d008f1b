"""`<model>.whole`: clients that ask once and get one answer, over HTTP and gRPC."""

from __future__ import annotations

import json
import queue
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http as triton_http
from enginehouse.engine.nvidia_metrics import GAUGES

from enginehouse.contract import PERF_OUTPUTS, PREPROCESSING_OUTPUTS
from enginehouse.contract_whole import WHOLE_OUTPUTS
from tests.conftest import RunningStack, wait_until
from tests.stack.test_triton_clients import ANSWER, PROMPT, tensor

MODEL = "smollm2.whole"
_IDS = [1, 9690, 198]
#: Far more than a test waits for.
_LONG = 4000


def _http_tensor(name: str, value: Any, dtype: str) -> triton_http.InferInput:
    array = np.asarray(value, dtype=triton.triton_to_np_dtype(dtype))
    made = triton_http.InferInput(name, array.shape, dtype)
    made.set_data_from_numpy(array)
    return made


def _text(make: Any = tensor, *extra: Any, max_tokens: int = 30) -> list[Any]:
    return [
        make("text_input", [[PROMPT.encode()]], "BYTES"),
        make("max_tokens", [[max_tokens]], "INT32"),
        make("exclude_input_in_output", [[True]], "BOOL"),
        *extra,
    ]


def _ids(*extra: triton.InferInput, max_tokens: int = 6) -> list[triton.InferInput]:
    return [
        tensor("input_ids", [_IDS], "INT32"),
        tensor("input_lengths", [[len(_IDS)]], "INT32"),
        tensor("request_output_len", [[max_tokens]], "INT32"),
        tensor("end_id", [[-1]], "INT32"),
        *extra,
    ]


def _infer(stack: RunningStack, inputs: list[triton.InferInput], **options: Any) -> Any:
    with triton.InferenceServerClient(stack.grpc) as client:
        return client.infer(MODEL, inputs, **options)


def test_a_text_over_grpc(stack: RunningStack) -> None:
    result = _infer(stack, _text())
    assert result.as_numpy("text_output")[0].decode() == ANSWER


def test_a_text_over_http_and_as_json(stack: RunningStack) -> None:
    url = stack.settings.addresses.triton_http_url
    with triton_http.InferenceServerClient(url.removeprefix("http://")) as client:
        result = client.infer(MODEL, _text(_http_tensor))
    assert result.as_numpy("text_output")[0].decode() == ANSWER
    body = {
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [1, 1], "data": [PROMPT]},
            {"name": "max_tokens", "datatype": "INT32", "shape": [1, 1], "data": [30]},
        ],
        "outputs": [{"name": "text_output"}],
    }
    answer = httpx.post(f"{url}/v2/models/{MODEL}/infer", content=json.dumps(body), timeout=60)
    # As from the ensemble, the prompt is part of it unless it is excluded.
    assert answer.json()["outputs"][0]["data"][0].endswith(ANSWER)


def test_token_ids_give_token_ids(stack: RunningStack) -> None:
    result = _infer(stack, _ids(tensor("return_log_probs", [[True]], "BOOL")))
    ids = result.as_numpy("output_ids")
    assert ids.shape == (1, 1, 9)
    assert ids[0, 0, :3].tolist() == _IDS
    assert result.as_numpy("sequence_length").tolist() == [[9]]
    assert result.as_numpy("output_log_probs").shape == (1, 1, 6)
    assert result.as_numpy("text_output") is None


def test_outputs_come_in_the_order_of_the_configuration(stack: RunningStack) -> None:
    counts = [
        tensor("return_num_input_tokens", [[True]], "BOOL"),
        tensor("return_num_output_tokens", [[True]], "BOOL"),
    ]
    result = _infer(stack, _text(tensor, *counts))
    found = [output.name for output in result.get_response().outputs]
    order = [spec.name for spec in WHOLE_OUTPUTS]
    assert found == sorted(found, key=order.index)
    assert found[0] == "text_output"


def test_several_sequences_stand_side_by_side(stack: RunningStack) -> None:
    sampled = [
        tensor("num_return_sequences", [[3]], "INT32"),
        tensor("temperature", [[1.3]], "FP32"),
        tensor("top_p", [[0.95]], "FP32"),
        tensor("seed", [[7]], "UINT64"),
    ]
    result = _infer(stack, _text(tensor, *sampled, max_tokens=8))
    texts = result.as_numpy("text_output").reshape(-1).tolist()
    assert len(texts) == 3
    assert len(set(texts)) > 1


def test_requests_at_once_share_the_engines_batch(stack: RunningStack) -> None:
    before = stack.engine_metric("steps_total")
    inputs = _ids(max_tokens=24)
    # One client for all threads: gRPC channels made and closed by many at once, in a process
    # that has gevent too (`tritonclient.http` loads it), have ended it by a segmentation fault.
    with triton.InferenceServerClient(stack.grpc) as client, ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: client.infer(MODEL, inputs), range(16)))
    assert {r.as_numpy("sequence_length").item() for r in results} == {27}
    # One after another they would take 16 x 24 steps.
    wait_until(lambda: stack.engine_metric("requests_in_flight") == 0, "an idle engine")
    assert stack.engine_metric("steps_total") - before < 16 * 24 / 2


@pytest.mark.parametrize("make", [_ids, lambda max_tokens: _text(max_tokens=max_tokens)])
def test_a_client_that_goes_ends_its_request(stack: RunningStack, make: Any) -> None:
    before = stack.engine_metric("requests_cancelled_total")
    with triton.InferenceServerClient(stack.grpc) as client:
        ended: queue.Queue[Any] = queue.Queue()
        call = client.async_infer(
            MODEL,
            [*make(max_tokens=_LONG), *_endless(make)],
            callback=lambda result, error: ended.put(error or result),
        )
        wait_until(lambda: stack.engine_metric("requests_in_flight") > 0, "the request")
        call.cancel()
        assert isinstance(ended.get(timeout=30), triton.InferenceServerException)
        wait_until(
            lambda: stack.engine_metric("requests_cancelled_total") > before, "the request's end"
        )


def _endless(make: Any) -> list[triton.InferInput]:
    return [] if make is _ids else [tensor("end_id", [[-1]], "INT32")]


def test_stop_with_the_same_id_gives_what_there_is(stack: RunningStack) -> None:
    with triton.InferenceServerClient(stack.grpc) as client:
        ended: queue.Queue[Any] = queue.Queue()
        client.async_infer(
            MODEL,
            _ids(max_tokens=_LONG),
            request_id="stop-me",
            callback=lambda result, error: ended.put(error or result),
        )
        wait_until(lambda: stack.engine_metric("generated_tokens_total") > 0, "tokens")
        stop = [*_ids()[:3], tensor("stop", [[True]], "BOOL")]
        said = client.infer(MODEL, stop, request_id="stop-me")
        assert said.as_numpy("output_ids") is None
        result = ended.get(timeout=30)
        assert not isinstance(result, Exception), result
        ids = result.as_numpy("output_ids")
        assert ids is None or ids.size < _LONG


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (_text(tensor, tensor("stream", [[True]], "BOOL")), "answers once"),
        (_ids(tensor("streaming", [[True]], "BOOL")), "answers once"),
        (_text(tensor, tensor("beam_width", [[4]], "INT32")), "beam_width is 4"),
        (_text(tensor, tensor("num_draft_tokens", [[4]], "INT32")), "num_draft_tokens"),
        (_text(tensor, tensor("runtime_top_k", [[4]], "INT32")), "runtime_top_k"),
        (_ids(max_tokens=10**6), "exceed the context"),
        ([tensor("text_input", [[b"Hello"]], "BYTES")], "max_tokens is missing"),
        ([tensor("max_tokens", [[4]], "INT32")], "there is no prompt"),
        ([tensor("text_input", [[b""]], "BYTES"), tensor("max_tokens", [[4]], "INT32")], "QUERY"),
        (
            [
                tensor("text_input", [[b"a"], [b"b"]], "BYTES"),
                tensor("max_tokens", [[4], [4]], "INT32"),
            ],
            "batch-size must be <= 1",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    stack: RunningStack, inputs: list[triton.InferInput], said: str
) -> None:
    with pytest.raises(triton.InferenceServerException, match=said) as caught:
        _infer(stack, inputs)
    assert "Traceback" not in str(caught.value)


def test_a_bad_request_fails_alone(stack: RunningStack) -> None:
    with triton.InferenceServerClient(stack.grpc) as client, ThreadPoolExecutor(4) as pool:
        bad = [pool.submit(client.infer, MODEL, _ids(max_tokens=10**6)) for _ in range(2)]
        good = [pool.submit(client.infer, MODEL, _ids()) for _ in range(2)]
        assert all(call.result().as_numpy("output_ids").size == 9 for call in good)
        assert all(isinstance(c.exception(), triton.InferenceServerException) for c in bad)


def test_perf_metrics_and_the_vendors_series(stack: RunningStack) -> None:
    """Lengths of requests are counted once, whichever name was asked."""
    page_url = stack.settings.addresses.triton_metrics_url

    def series(start: str) -> list[float]:
        lines = httpx.get(page_url, timeout=30).text.splitlines()
        return [float(line.split()[-1]) for line in lines if line.startswith(start)]

    counted = (
        'nv_llm_input_token_len_bucket{model="smollm2.tensorrt_llm",'
        'response_metric_type="total_input_tokens",version="1",le="10"}'
    )
    (before,) = series(counted) or [0.0]
    result = _infer(stack, _ids(tensor("return_perf_metrics", [[True]], "BOOL")))
    names = [spec.name for spec in PERF_OUTPUTS]
    values = {name: result.as_numpy(name).item() for name in names if "num_" not in name}
    assert values["kv_cache_alloc_total_blocks"] == 1
    assert values["kv_cache_alloc_new_blocks"] + values["kv_cache_reused_blocks"] == 1
    assert 0 < values["arrival_time_ns"] <= values["first_scheduled_time_ns"]
    assert values["first_scheduled_time_ns"] <= values["first_token_time_ns"]
    assert values["first_token_time_ns"] <= values["last_token_time_ns"]
    assert (values["acceptance_rate"], values["total_draft_tokens"]) == (0.0, 0)
    wait_until(lambda: series(counted) == [before + 1], "the request's length")
    for family, (_, _, values) in GAUGES.items():
        assert len(series(f"{family}{{")) == len(values)


def test_preprocessing_gives_a_decoders_first_token(stack: RunningStack) -> None:
    inputs = [
        tensor("QUERY", [[b"Hello"]], "BYTES"),
        tensor("REQUEST_OUTPUT_LEN", [[4]], "INT32"),
    ]
    with triton.InferenceServerClient(stack.grpc) as client:
        result = client.infer("smollm2.preprocessing", inputs)
    found = [output.name for output in result.get_response().outputs]
    assert found == [spec.name for spec in PREPROCESSING_OUTPUTS if spec.name in found]
    assert result.as_numpy("DECODER_INPUT_ID").shape == (1, 1)
    assert result.as_numpy("REQUEST_DECODER_INPUT_LEN").tolist() == [[1]]
