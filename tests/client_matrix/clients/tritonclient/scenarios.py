"""NVIDIA's request forms on the bare names, written from the documents of `tensorrtllm_backend`.

README ("Send an Inference Request", "Requests with batch size > 1", "Early stopping"),
docs/model_config.md (inputs and outputs of the models), docs/guided_decoding.md.
"""

from __future__ import annotations

import json
import os
import queue
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import probe
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from probe import check, same, scenario
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

PROMPT = b"What is machine learning?"
IDS = np.array([[1, 9690, 198, 1780, 314]], np.int32)
_METRICS = os.environ.get("MATRIX_TRITON_METRICS", "")
PROTOCOLS: dict[str, Any] = {"gRPC": over_grpc, "HTTP": over_http}


def client_of(protocol: str) -> Any:
    if protocol == "gRPC":
        return over_grpc.InferenceServerClient(probe.TRITON_GRPC)
    address = probe.TRITON_HTTP.removeprefix("http://")
    return over_http.InferenceServerClient(address, network_timeout=120.0)


def tensor(protocol: str, name: str, value: Any, dtype: Any) -> Any:
    array = np.array(value, dtype=dtype)
    made = PROTOCOLS[protocol].InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array)
    return made


def text_inputs(protocol: str, *more: Any, tokens: int = 20, stream: bool = False) -> list[Any]:
    return [
        tensor(protocol, "text_input", [[PROMPT]], object),
        tensor(protocol, "max_tokens", [[tokens]], np.int32),
        tensor(protocol, "bad_words", [[b""]], object),
        tensor(protocol, "stop_words", [[b""]], object),
        tensor(protocol, "stream", [[stream]], bool),
        *more,
    ]


def id_inputs(protocol: str, *more: Any, tokens: int = 8, streaming: bool = False) -> list[Any]:
    return [
        tensor(protocol, "input_ids", IDS, np.int32),
        tensor(protocol, "input_lengths", [[IDS.shape[1]]], np.int32),
        tensor(protocol, "request_output_len", [[tokens]], np.int32),
        tensor(protocol, "beam_width", [[1]], np.int32),
        tensor(protocol, "temperature", [[1.0]], np.float32),
        tensor(protocol, "streaming", [[streaming]], bool),
        *more,
    ]


def streamed(model: str, inputs: list[Any], request_id: str = "", stop: Any = None) -> list[Any]:
    """All responses of one streaming request, as the in-flight client gathers them."""
    arrived: queue.Queue[Any] = queue.Queue()
    with client_of("gRPC") as client:
        client.start_stream(lambda result, error: arrived.put(error or result))
        client.async_stream_infer(
            model, inputs, request_id=request_id, enable_empty_final_response=True
        )
        results = []
        while True:
            result = arrived.get(timeout=120)
            if isinstance(result, Exception):
                raise result
            results.append(result)
            if stop is not None and len(results) == 2:
                stop()
            if result.get_response().parameters["triton_final_response"].bool_param:
                return results


def texts(results: list[Any]) -> str:
    found = [result.as_numpy("text_output") for result in results]
    return "".join(one.reshape(-1)[0].decode() for one in found if one is not None)


def generate(model: str, **body: Any) -> Any:
    request = urllib.request.Request(
        f"{probe.TRITON_HTTP}/v2/models/{model}/generate",
        json.dumps({"text_input": PROMPT.decode(), "max_tokens": 20, **body}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise probe.DifferentError(f"{error.code}: {error.read().decode()}") from error


for bare in ("ensemble", "tensorrt_llm_bls"):

    @scenario(f"generate endpoint of `{bare}`, as the README asks", column="chat")
    def curl(bare: str = bare) -> None:
        found = generate(bare, bad_words="", stop_words="")
        check("error" not in found, str(found))
        check(found["text_output"], "no text")

    @scenario(f"gRPC stream of `{bare}`", column="streaming")
    def stream(bare: str = bare) -> None:
        results = streamed(bare, text_inputs("gRPC", stream=True))
        check(texts(results), "no text")
        check(len(results) > 2, "came in one piece")


WHOLE = f"{probe.MODEL}.whole"
_DECOUPLED = (
    "Triton refuses unary requests of decoupled models, as NVIDIA does: ask the model's `.whole`, "
    "or start with `--compat-unary`, NVIDIA's `decoupled_mode: False`"
)

for protocol in PROTOCOLS:

    @scenario(f"unary `infer` of `<model>.whole` over {protocol}, text", column="chat")
    def unary(protocol: str = protocol) -> None:
        with client_of(protocol) as client:
            result = client.infer(WHOLE, text_inputs(protocol))
        check(texts([result]), "no text")

    @scenario(f"unary `infer` of `<model>.whole` over {protocol}, token ids", column="chat")
    def unary_ids(protocol: str = protocol) -> None:
        with client_of(protocol) as client:
            result = client.infer(WHOLE, id_inputs(protocol))
        check(result.as_numpy("output_ids").size >= 8, "too few tokens")

    @scenario(
        f"unary `infer` of the bare `ensemble` over {protocol}", column="chat", limit=_DECOUPLED
    )
    def unary_bare(protocol: str = protocol) -> None:
        with client_of(protocol) as client:
            check(texts([client.infer("ensemble", text_inputs(protocol))]), "no text")


@scenario("generate_stream endpoint of `ensemble`", column="streaming")
def events() -> None:
    body = {"text_input": PROMPT.decode(), "max_tokens": 20, "stream": True}
    request = urllib.request.Request(
        f"{probe.TRITON_HTTP}/v2/models/ensemble/generate_stream",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        lines = [line.decode() for line in answer if line.startswith(b"data:")]
    check("".join(json.loads(line[5:])["text_output"] for line in lines), "no text")


@scenario("`tensorrt_llm` by token ids, streamed", column="streaming")
def ids() -> None:
    results = streamed("tensorrt_llm", id_inputs("gRPC", streaming=True))
    found = [result.as_numpy("output_ids") for result in results]
    same(sum(one.size for one in found if one is not None), 8, "tokens")


@scenario("`tensorrt_llm` by token ids, not streamed", column="chat")
def ids_whole() -> None:
    results = streamed("tensorrt_llm", id_inputs("gRPC"))
    check(results[0].as_numpy("output_ids").size >= 8, "too few tokens")


@scenario("early stopping: `stop` under the same request id")
def stopping() -> None:
    signal = [
        tensor("gRPC", "input_ids", [[0]], np.int32),
        tensor("gRPC", "input_lengths", [[1]], np.int32),
        tensor("gRPC", "request_output_len", [[0]], np.int32),
        tensor("gRPC", "stop", [[True]], bool),
    ]
    results = streamed(
        "tensorrt_llm",
        id_inputs("gRPC", tokens=1000, streaming=True),
        "12345",
        lambda: streamed("tensorrt_llm", signal, "12345"),
    )
    found = [result.as_numpy("output_ids") for result in results]
    check(sum(one.size for one in found if one is not None) < 1000, "was not stopped")


@scenario("log-probabilities and performance metrics as outputs", column="usage")
def outputs() -> None:
    more = [
        tensor("gRPC", "return_log_probs", [[True]], bool),
        tensor("gRPC", "return_perf_metrics", [[True]], bool),
    ]
    results = streamed("tensorrt_llm", id_inputs("gRPC", *more))
    names = {output.name for result in results for output in result.get_response().outputs}
    wanted = {
        "output_log_probs",
        "cum_log_probs",
        "kv_cache_alloc_new_blocks",
        "kv_cache_reused_blocks",
        "kv_cache_alloc_total_blocks",
        "arrival_time_ns",
        "first_scheduled_time_ns",
        "first_token_time_ns",
        "last_token_time_ns",
        "acceptance_rate",
        "total_accepted_draft_tokens",
        "total_draft_tokens",
    }
    same(sorted(wanted - names), [], "missing outputs")


_ANSWER = {
    "properties": {"answer": {"title": "Answer", "type": "integer"}},
    "required": ["answer"],
    "title": "Answer",
    "type": "object",
}


@scenario("guided decoding: json_schema, regex, ebnf_grammar", column="structured")
def guided() -> None:
    guides = {
        "json_schema": json.dumps(_ANSWER),
        "regex": r"\d{4}",
        "ebnf_grammar": 'root ::= "yes" | "no"',
    }
    for kind, guide in guides.items():
        more = [
            tensor("gRPC", "guided_decoding_guide_type", [[kind.encode()]], object),
            tensor("gRPC", "guided_decoding_guide", [[guide.encode()]], object),
            tensor("gRPC", "exclude_input_in_output", [[True]], bool),
        ]
        found = texts(streamed("ensemble", text_inputs("gRPC", *more, tokens=30)))
        if kind == "ebnf_grammar":
            check(found in {"yes", "no"}, f"{kind}: {found!r}")
        elif kind == "regex":
            check(len(found) == 4 and found.isdigit(), f"{kind}: {found!r}")
        else:
            check(found.lstrip().startswith("{"), f"{kind}: {found!r}")


@scenario("stop words and bad words of several words each")
def words() -> None:
    more = [
        tensor("HTTP", name, value, object)
        for name, value in (("stop_words", [[b"\n", b"."]]), ("bad_words", [[b" the", b" a"]]))
    ]
    inputs = [one for one in text_inputs("gRPC") if one.name() not in {"stop_words", "bad_words"}]
    made = [
        tensor("gRPC", name, value, object)
        for name, value in (("stop_words", [[b"\n", b"."]]), ("bad_words", [[b" the", b" a"]]))
    ]
    check(len(more) == 2 and texts(streamed("ensemble", [*inputs, *made])) is not None, "no text")


@scenario("sampling inputs: top_k, top_p, seed, penalties, min_tokens")
def sampling() -> None:
    more = [
        tensor("gRPC", "top_k", [[4]], np.int32),
        tensor("gRPC", "top_p", [[0.9]], np.float32),
        tensor("gRPC", "temperature", [[0.8]], np.float32),
        tensor("gRPC", "repetition_penalty", [[1.1]], np.float32),
        tensor("gRPC", "presence_penalty", [[0.1]], np.float32),
        tensor("gRPC", "frequency_penalty", [[0.1]], np.float32),
        tensor("gRPC", "min_tokens", [[2]], np.int32),
        tensor("gRPC", "seed", [[7]], np.uint64),
    ]
    check(texts(streamed("ensemble", text_inputs("gRPC", *more))), "no text")


@scenario("`preprocessing`, unary, with all of its outputs")
def preprocessing() -> None:
    inputs = [
        tensor("gRPC", "QUERY", [[PROMPT]], object),
        tensor("gRPC", "REQUEST_OUTPUT_LEN", [[20]], np.int32),
    ]
    with client_of("gRPC") as client:
        result = client.infer("preprocessing", inputs)
    names = {output.name for output in result.get_response().outputs}
    same(sorted({"INPUT_ID", "REQUEST_INPUT_LEN", "DECODER_INPUT_ID"} - names), [], "missing")


@scenario("`postprocessing`, unary")
def postprocessing() -> None:
    inputs = [
        tensor("gRPC", "TOKENS_BATCH", [[[504, 3575, 282]]], np.int32),
        tensor("gRPC", "SEQUENCE_LENGTH", [[3]], np.int32),
    ]
    with client_of("gRPC") as client:
        found = client.infer("postprocessing", inputs).as_numpy("OUTPUT")
    check(found.reshape(-1)[0].decode(), "no text")


@scenario("a batch of several prompts, or a configuration that says there is none")
def batch() -> None:
    with client_of("gRPC") as client:
        config = client.get_model_config("ensemble", as_json=True)["config"]
    prompts = [[b"This is a test"], [b"I want you to"], [b"The cat is"]]
    inputs = [
        tensor("gRPC", "text_input", prompts, object),
        tensor("gRPC", "max_tokens", [[5]] * 3, np.int32),
    ]
    try:
        results = streamed("ensemble", inputs)
    except InferenceServerException as error:
        check(int(config.get("max_batch_size", 0)) <= 1, f"the configuration allows it: {error}")
        check("batch" in str(error) or "shape" in str(error), f"not named: {error}")
        return
    check(len(results) >= 3, "too few responses")


@scenario("metrics with the vendor's names (`nv_trt_llm_*`) and Triton's own", column="usage")
def metrics() -> None:
    with urllib.request.urlopen(_METRICS, timeout=30) as answer:
        page = answer.read().decode()
    for name in (
        "nv_inference_request_success",
        "nv_trt_llm_request_metrics",
        "nv_trt_llm_kv_cache_block_metrics",
        "nv_trt_llm_general_metrics",
    ):
        check(f"\n{name}{{" in page, f"{name} is not on the page")


@scenario("an input that the runtime cannot do is refused by its name", column="errors")
def refused_input() -> None:
    inputs = id_inputs("gRPC", tensor("gRPC", "return_context_logits", [[True]], bool))
    error = probe.refused(
        InferenceServerException, lambda: streamed("tensorrt_llm", inputs), "return_context_logits"
    )
    check("Traceback" not in str(error), "a traceback reached the client")


@scenario("text that is no UTF-8 is an error that names its input", column="errors")
def not_utf8() -> None:
    inputs = [one for one in text_inputs("gRPC") if one.name() != "stop_words"]
    inputs.append(tensor("gRPC", "stop_words", [[b"\xff\xfe"]], object))
    error = probe.refused(
        InferenceServerException, lambda: streamed("ensemble", inputs), "stop_words"
    )
    check("Traceback" not in str(error), "a traceback reached the client")


probe.run()
