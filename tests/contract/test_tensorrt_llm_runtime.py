"""The runtime's code, driven by the real engine loop over a stand-in for the vendor's package."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from enginehouse.engine.loop import EngineLoop
from enginehouse.engine.tensorrt_llm import TensorRtLlmRuntime
from enginehouse.engine.tensorrt_llm_settings import SERIES as SUPPORTED
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.errors import FingerprintError, InvalidRequestError, ServingError
from enginehouse.generation import FinishReason, GenerationRequest, Guide, GuideKind, Sampling
from enginehouse.manifest import EngineSettings
from tests.contract.conftest import LoadRuntime, MakeBundle
from tests.contract.stand_in.vendor import FAILS_ID, REFUSED_ID
from tests.engine.fakes import Collector

_PAIRS = [(flavour, series) for flavour, known in SUPPORTED.items() for series in known]
_LORA = {"adapters": [{"name": "sql", "path": "adapters/sql"}], "max_rank": 8}


class Bench:
    """A running loop over a loaded runtime."""

    def __init__(self, runtime: TensorRtLlmRuntime) -> None:
        self.runtime = runtime
        self.loop = EngineLoop(runtime, EngineSettings(max_batch=64, coalescing=False))
        self.loop.start()

    def submit(self, *prompt: int, tokens: int = 5, **options: object) -> Collector:
        sink = Collector()
        self.loop.submit(GenerationRequest(list(prompt), tokens, **options), sink)
        return sink

    @property
    def sampling(self) -> object:
        """What the last request was sampled with."""
        return self.runtime._llm.requests[-1].sampling


@pytest.fixture
def bench(load_runtime: LoadRuntime) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(**settings: object) -> Bench:
        benches.append(Bench(load_runtime(TensorRtLlmSettings.model_validate(settings))))
        return benches[-1]

    yield start
    for item in benches:
        item.loop.close()


@pytest.mark.parametrize(("flavour", "series"), _PAIRS)
def test_an_answer_streams_in_every_version(
    bench: Callable[..., Bench], flavour: str, series: str
) -> None:
    sink = bench(flavour=flavour, version=series).submit(7, 8, tokens=6).wait()
    assert sink.ids == [9, 10, 11, 12, 13, 14]
    assert len(sink.chunks) > 2
    assert sink.finish is FinishReason.LENGTH


@pytest.mark.parametrize(
    "changed",
    [
        {"lora": _LORA},
        {"speculative": {"kind": "eagle3", "model": "draft"}},
        {"speculative": {"kind": "ngram"}},
        {"parallel": {"tensor": 4, "expert": 2, "pipeline": 2}},
        {"kv_cache": {"dtype": "fp8", "tokens_per_block": 64}, "sampler": "trtllm"},
    ],
)
def test_settings_reach_the_constructor(
    bench: Callable[..., Bench], changed: dict[str, object]
) -> None:
    made = bench(**changed)
    assert made.submit(1, tokens=2).wait().ids == [2, 3]
    arguments = made.runtime._llm.arguments
    assert arguments["kv_cache_config"].free_gpu_memory_fraction == 0.9
    if "parallel" in changed:
        assert arguments["moe_expert_parallel_size"] == 2
        assert arguments["pipeline_parallel_size"] == 2
    if "speculative" in changed:
        draft = getattr(arguments["speculative_config"], "speculative_model_dir", None)
        assert draft is None or draft.endswith("/bundle/engine/draft")


def test_end_ids_end_an_answer(bench: Callable[..., Bench]) -> None:
    made = bench()
    first = made.submit(20, tokens=50, end_ids=frozenset({23})).wait()
    assert (first.ids, first.finish) == ([21, 22], FinishReason.STOP)
    second = made.submit(20, tokens=50, end_ids=frozenset({99, 23, 24})).wait()
    assert (second.ids, second.finish) == ([21, 22], FinishReason.STOP)
    third = made.submit(20, tokens=4).wait()
    assert (third.ids, third.finish) == ([21, 22, 23, 24], FinishReason.LENGTH)


def test_log_probabilities_come_with_their_tokens(bench: Callable[..., Bench]) -> None:
    sink = bench().submit(1, tokens=8, return_log_probs=True).wait()
    assert [value for chunk in sink.chunks for value in chunk.log_probs] == [-0.5] * 8
    assert all(len(chunk.log_probs) == len(chunk.token_ids) for chunk in sink.chunks)


def test_sampling_reaches_the_vendor_s_parameters(bench: Callable[..., Bench]) -> None:
    made = bench()
    drawn = Sampling(temperature=0.7, top_k=5, top_p=0.9, seed=3, min_p=0.1, min_tokens=2)
    made.submit(1, sampling=drawn).wait()
    sampling = made.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.7, 5, 0.9)
    assert (sampling.seed, sampling.min_p, sampling.min_tokens) == (3, 0.1, 2)
    made.submit(1).wait()
    assert (made.sampling.top_k, made.sampling.temperature, made.sampling.seed) == (1, None, None)


def test_bad_words_reach_the_vendor_as_ids_or_as_text(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.submit(1, bad_words=((40,), (41, 42))).wait()
    assert made.sampling.bad_token_ids == [40]
    assert made.sampling.bad == [made.runtime._decode((41, 42))]


def test_a_client_that_goes_aborts_the_request(bench: Callable[..., Bench]) -> None:
    made = bench()
    sink = made.submit(1, tokens=20_000)
    assert sink.first.wait(20)
    sink.gone = True
    assert sink.wait().finish is FinishReason.CANCELLED
    assert made.submit(5, tokens=2).wait().ids == [6, 7]
    assert made.runtime._llm.requests[0].aborted
    assert len(sink.ids) < 20_000


def test_many_requests_at_once_keep_their_own_tokens(bench: Callable[..., Bench]) -> None:
    made = bench()
    sinks = {first: made.submit(first, tokens=30) for first in range(1000, 1100)}
    for first, sink in sinks.items():
        assert sink.wait().ids == list(range(first + 1, first + 31))
    assert made.runtime.kv_cache_usage() == 0


def test_a_request_that_fails_takes_no_other_along(bench: Callable[..., Bench]) -> None:
    made = bench()
    others = [made.submit(first, tokens=200) for first in (100, 200)]
    assert all(sink.first.wait(20) for sink in others)
    broken = made.submit(FAILS_ID, tokens=50)
    late = made.submit(300, tokens=200)
    assert broken.wait().error is not None
    assert "the stand-in fails this request" in str(broken.error)
    for first, sink in zip((100, 200, 300), (*others, late), strict=True):
        assert sink.wait().ids == list(range(first + 1, first + 201))


def test_a_prompt_that_the_library_refuses_fails_alone(bench: Callable[..., Bench]) -> None:
    made = bench()
    error = made.submit(REFUSED_ID).wait().error
    assert isinstance(error, ServingError)
    assert "refuses this prompt" in str(error)
    assert made.submit(1, tokens=1).wait().ids == [2]


@pytest.mark.parametrize(
    ("kind", "text", "field"),
    [
        (GuideKind.JSON, "", "json_object"),
        (GuideKind.JSON_SCHEMA, '{"type": "integer"}', "json"),
        (GuideKind.REGEX, "[ab]+", "regex"),
        (GuideKind.EBNF_GRAMMAR, 'root ::= "a"', "grammar"),
    ],
)
def test_a_guide_reaches_its_own_field(
    bench: Callable[..., Bench], kind: GuideKind, text: str, field: str
) -> None:
    made = bench()
    sink = made.submit(1, tokens=100, guide=Guide(kind, text)).wait()
    assert bytes(sink.ids).decode() == (text or "{}")
    assert getattr(made.sampling.guided_decoding, field) == (text or True)


def test_an_adapter_is_asked_for_by_name(bench: Callable[..., Bench]) -> None:
    made = bench(lora=_LORA)
    made.submit(1, adapter="sql").wait()
    request = made.runtime._llm.requests[-1].lora_request
    assert (request.lora_name, request.lora_int_id) == ("sql", 1)
    assert request.lora_path.endswith("bundle/engine/adapters/sql")
    with pytest.raises(InvalidRequestError, match="'other' is not in this engine: it has sql"):
        made.submit(1, adapter="other")


def test_what_cannot_run_is_refused_by_name(bench: Callable[..., Bench]) -> None:
    made = bench(limits={"max_input_len": 4})
    with pytest.raises(InvalidRequestError, match="5 tokens, this engine takes 4"):
        made.submit(1, 2, 3, 4, 5)
    with pytest.raises(InvalidRequestError, match="0 to 49151"):
        made.submit(60_000)


def test_an_engine_without_guides_says_so(bench: Callable[..., Bench]) -> None:
    made = bench(guided_decoding=None)
    assert "guided_decoding_guide" in made.runtime.unsupported_inputs
    with pytest.raises(InvalidRequestError, match="without guided decoding"):
        made.submit(1, guide=Guide(GuideKind.REGEX, "a"))
    with pytest.raises(InvalidRequestError, match="without a tokenizer"):
        made.submit(1, bad_words=((41, 42),))


def test_a_missing_package_is_named_with_where_to_get_it(make_bundle: MakeBundle) -> None:
    bundle = make_bundle(TensorRtLlmSettings(version="1.2"))
    with pytest.raises(FingerprintError) as caught:
        TensorRtLlmRuntime(bundle, bundle.manifest.engine_settings)
    first = str(caught.value).splitlines()[0]
    assert "TensorRT-LLM 1.2 is missing" in first
    assert "tensorrt_llm==1.2.1" in first
    assert "nvcr.io/nvidia/tensorrt-llm/release:1.2.1" in first
