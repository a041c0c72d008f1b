"""The service with the real engine in it: guides, several answers, adapters, speculation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import openvino
import psutil
import pytest
from enginehouse.engine.service import EngineService
from enginehouse.engine.stats import LoopStats
from safetensors.numpy import load_file

from enginehouse.bundle import Bundle
from enginehouse.errors import InvalidRequestError
from enginehouse.generation import FinishReason, GenerationRequest, Guide, GuideKind, Sampling
from enginehouse.manifest import EngineSettings
from enginehouse.text import ChatTemplate, Tokenizer
from tests.conftest import wait_until
from tests.engine.adapters import LAYERS, adapted_bundle
from tests.engine.collect import Collector

SCHEMAS = json.loads((Path(__file__).parent.parent / "data" / "json_schemas.json").read_text())
BAD = (
    Guide(GuideKind.JSON_SCHEMA, '{"type": '),
    Guide(GuideKind.JSON_SCHEMA, '{"type": "objekt"}'),
    Guide(GuideKind.JSON_SCHEMA, '{"$ref": "#/$defs/none"}'),
    Guide(GuideKind.REGEX, "(ab"),
    Guide(GuideKind.EBNF_GRAMMAR, 'root ::= "a" b'),
)


class Served:
    """A service, its tokenizer, and the figures it published last."""

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        self.stats: LoopStats | None = None
        self.tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        self.template = ChatTemplate(bundle.chat_template, self.tokenizer)
        self.service = EngineService(bundle.path, settings, self._publish)

    def _publish(self, stats: LoopStats) -> None:
        self.stats = stats

    @property
    def kv_cache_usage(self) -> float:
        return self.stats.kv_cache_usage if self.stats else 0.0

    def chat(self, text: str) -> list[int]:
        return self.template.encode([{"role": "user", "content": text}])

    def request(self, text: str, max_tokens: int = 64, **options: Any) -> GenerationRequest:
        return GenerationRequest(
            self.chat(text), max_tokens=max_tokens, end_ids=frozenset({2}), **options
        )

    def submit(self, request: GenerationRequest) -> Collector:
        sink = Collector(request.sequences)
        self.service.submit(request, sink)
        return sink

    def text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)


@pytest.fixture(scope="module")
def served(whole_machine: None, bundle: Bundle) -> Iterator[Served]:
    made = Served(bundle, bundle.manifest.engine_settings)
    yield made
    made.service.close()


@pytest.mark.slow(reason="answers of up to 300 tokens to 33 schemas, at two temperatures")
def test_json_schema_output_parses_and_validates(served: Served) -> None:
    """At a high temperature the grammar decides what is generated, not the probabilities."""
    asked = [(schema, heat) for schema in SCHEMAS for heat in (0.8, 2.0)]
    sinks = [
        served.submit(
            served.request(
                "Give me an example as JSON.",
                300,
                guide=Guide(GuideKind.JSON_SCHEMA, json.dumps(schema)),
                sampling=Sampling(temperature=heat, top_p=1.0, seed=index),
            )
        )
        for index, (schema, heat) in enumerate(asked)
    ]
    complete = 0
    for (schema, _), sink in zip(asked, sinks, strict=True):
        text = served.text(sink.wait())
        if sink.finishes[0] is FinishReason.LENGTH:
            continue
        jsonschema.validate(json.loads(text), schema)
        complete += 1
    assert complete >= len(asked) * 0.8
    assert served.stats is not None
    assert served.stats.guide_violations == 0


def test_good_requests_finish_while_bad_schemas_arrive(served: Served) -> None:
    good = [
        served.submit(
            served.request(
                f"Count to {n}.", guide=Guide(GuideKind.JSON_SCHEMA, json.dumps(SCHEMAS[n % 5]))
            )
            if n % 2
            else served.request(f"Count to {n}.", 48)
        )
        for n in range(16)
    ]
    bad = [served.submit(served.request("x", guide=guide)) for guide in BAD * 3]
    for sink in bad:
        with pytest.raises(InvalidRequestError) as refused:
            sink.wait()
        assert refused.value.field == "guided_decoding_guide"
        assert "/project/" not in str(refused.value)
    for sink in good:
        assert sink.wait()
    assert served.stats is not None
    assert served.stats.recoveries == 0


@pytest.mark.parametrize(
    ("kind", "guide", "said"),
    [
        (GuideKind.JSON_SCHEMA, '{"properties": {"a": {"type": 3}}}', "/properties/a/type"),
        (GuideKind.JSON_SCHEMA, '{\n "type" "x"}', "line 2"),
        (GuideKind.JSON_SCHEMA, '{"items": {"$dynamicRef": "#a"}}', "'.dynamicRef' at /items"),
        (GuideKind.JSON_SCHEMA, "[" * 100_000, "nested deeper"),
        (GuideKind.JSON_SCHEMA, '{"$ref": "https://example.com/x"}', "references into the schema"),
        (GuideKind.JSON_SCHEMA, '{"uniqueItems": true}', "/uniqueItems"),
        (GuideKind.REGEX, "(ab", "position 4"),
        (GuideKind.REGEX, "(" * 50_000, "nested deeper"),
        (GuideKind.REGEX, "", "empty"),
        (GuideKind.EBNF_GRAMMAR, 'root ::= "a" (', "line 1, column 15"),
        (GuideKind.JSON_SCHEMA, '{"pattern": "(a|b)*a(a|b){20}$"}', "/pattern .* 4000 states"),
        (GuideKind.REGEX, "([a-z]{1,9}x?){1,900}y", "4000 states|3 s of CPU time"),
    ],
)
def test_a_bad_guide_is_refused_with_its_place(
    served: Served, kind: GuideKind, guide: str, said: str
) -> None:
    sink = served.submit(served.request("x", guide=Guide(kind, guide)))
    with pytest.raises(InvalidRequestError, match=said):
        sink.wait()


def test_log_probabilities_of_a_prompt_are_refused_where_requests_share_steps(
    served: Served,
) -> None:
    asked = served.request("x", return_log_probs=True, prompt_log_probs=True)
    with pytest.raises(InvalidRequestError, match="DETERMINISTIC") as refused:
        served.submit(asked)
    assert refused.value.field == "prompt_log_probs"


def test_a_guide_says_where_the_answer_ends(served: Served) -> None:
    yes = Guide(GuideKind.REGEX, "(yes|no)")
    with pytest.raises(InvalidRequestError, match="ignore_eos"):
        served.submit(replace(served.request("x", guide=yes), end_ids=frozenset()))
    with pytest.raises(InvalidRequestError, match="min_tokens is 9"):
        served.submit(served.request("x", guide=yes, sampling=Sampling(min_tokens=9)))


def test_bad_words_do_not_come_however_tokens_split_them(served: Served) -> None:
    question = "What is the capital of France?"
    assert "Paris" in served.text(served.submit(served.request(question)).wait())
    words = tuple(tuple(served.tokenizer.encode(word)) for word in ("Paris", "capital"))
    text = served.text(served.submit(served.request(question, bad_words=words)).wait())
    assert text
    assert "Paris" not in text
    assert "capital" not in text
    with pytest.raises(InvalidRequestError, match="combine bad words"):
        served.submit(served.request("x", bad_words=words, guide=Guide(GuideKind.REGEX, "a")))
    with pytest.raises(InvalidRequestError, match="empty"):
        served.submit(served.request("x", bad_words=((2,),)))


def test_a_guide_that_breaks_a_step_all_the_same_fails_alone(served: Served) -> None:
    """A guide that bypasses the compiler, which must not happen: the loop recovers from it."""
    assert served.stats is not None
    recoveries = served.stats.recoveries
    alone = served.submit(served.request("Count to ten.", 40)).wait()
    others = [served.submit(served.request("Count to ten.", 40)) for _ in range(8)]
    for other in others:
        other.started()
    poisoned = Collector()
    bad = served.request("x", guide=Guide(GuideKind.EBNF_GRAMMAR, "root ::= nonsense"))
    served.service._loop.submit(bad, poisoned)
    with pytest.raises(InvalidRequestError, match="nonsense"):
        poisoned.wait()
    assert [len(other.wait()) for other in others] == [len(alone)] * 8
    served.submit(served.request("x", 2)).wait()
    wait_until(
        lambda: served.stats is not None and served.stats.recoveries > recoveries, "a recovery"
    )


def test_regex_and_grammar_hold_and_a_cut_answer_says_so(served: Served) -> None:
    regex = served.submit(served.request("A date?", guide=Guide(GuideKind.REGEX, r"\d{4}-\d{2}")))
    grammar = 'root ::= ("yes" | "no") "!"'
    ebnf = served.submit(served.request("Yes?", guide=Guide(GuideKind.EBNF_GRAMMAR, grammar)))
    long = Guide(GuideKind.REGEX, "[a-z ]{200}")
    cut = served.submit(served.request("Say something.", 8, guide=long))
    year, month = served.text(regex.wait()).split("-")
    assert (len(year), len(month)) == (4, 2)
    assert served.text(ebnf.wait()) in ("yes!", "no!")
    assert len(cut.wait()) == 8
    assert cut.finishes[0] is FinishReason.LENGTH
    assert regex.finishes[0] is FinishReason.STOP


def test_stop_ends_a_request_whose_guide_is_being_compiled(served: Served) -> None:
    slow = Guide(GuideKind.JSON_SCHEMA, '{"type": "string", "maxLength": 15000}')
    waiting = served.submit(served.request("x", guide=slow, request_id="slow"))
    assert served.service.cancel("slow") == 1
    waiting.wait()
    assert waiting.finishes[0] is FinishReason.CANCELLED


def test_several_answers_to_one_request(served: Served) -> None:
    sampling = Sampling(temperature=1.2, top_p=0.95, seed=7)
    three = served.request("Tell me about the sea.", 24, sequences=3, sampling=sampling)
    sink = served.submit(three)
    sink.wait()
    answers = [tuple(sink.ids[i]) for i in range(3)]
    assert len(set(answers)) == 3
    alone = served.submit(replace(three, sequences=1, sampling=replace(sampling, seed=8)))
    # In bf16 the batch's size moves an odd token later on.
    assert tuple(alone.wait()[:8]) == answers[1][:8]
    with pytest.raises(InvalidRequestError, match="adapter"):
        served.submit(served.request("x", adapter="none"))


def test_min_p_and_min_tokens_and_ignoring_the_end(served: Served) -> None:
    hot = Sampling(temperature=5.0, top_p=1.0, seed=1)
    question = "What is the capital of France?"
    plain = served.submit(served.request(question, 16, sampling=hot)).wait()
    tamed = served.submit(served.request(question, 16, sampling=replace(hot, min_p=0.99))).wait()
    greedy = served.submit(served.request(question, 16)).wait()
    assert tamed == greedy != plain
    patient = served.submit(served.request(question, 40, sampling=Sampling(min_tokens=30)))
    assert len(patient.wait()) >= 30
    endless = served.submit(replace(served.request(question, 40), end_ids=frozenset()))
    assert len(endless.wait()) == 40


def test_cancelled_poisoned_and_over_long_requests_leave_the_cache_at_its_baseline(
    served: Served,
) -> None:
    wait_until(lambda: served.kv_cache_usage == 0.0, "the baseline")
    running = served.submit(served.request("Tell me a long story.", 2000))
    running.started()
    wait_until(lambda: served.kv_cache_usage > 0.0, "KV cache in use")
    running.gone = True
    running.wait()
    with pytest.raises(InvalidRequestError, match="holds 99999999"):
        served.submit(replace(served.request("x"), input_ids=[99_999_999]))
    with pytest.raises(InvalidRequestError):
        served.submit(served.request("x", guide=Guide(GuideKind.REGEX, "("))).wait()
    served.submit(served.request("one more", 2)).wait()
    wait_until(lambda: served.kv_cache_usage == 0.0, "the baseline again")


@pytest.mark.slow(reason="two prefills of a whole context, 8,180 tokens")
def test_a_prompt_as_long_as_the_context_and_its_repetition(served: Served) -> None:
    """Chunked prefill splits the prompt; the prefix cache has most of the second one."""
    ids = served.tokenizer.encode("The quick brown fox jumps over the lazy dog. " * 800)[:8180]
    steps = []
    for _ in range(2):
        before = served.stats.steps if served.stats else 0
        served.submit(GenerationRequest(ids, max_tokens=8)).wait()
        after = served.stats
        assert after is not None
        steps.append(after.steps - before)
    assert steps[0] >= 8
    assert steps[1] < steps[0]


@pytest.mark.slow(reason="a soak: 2,300 requests, to see that memory does not grow")
def test_hundreds_of_short_requests_do_not_grow_the_process(served: Served) -> None:
    process = psutil.Process()

    def burst(count: int) -> None:
        for start in range(0, count, 50):
            prompts = [[100 + start + i] * 5 for i in range(50)]
            sinks = [served.submit(GenerationRequest(ids, max_tokens=4)) for ids in prompts]
            for sink in sinks:
                sink.wait()

    _touch_the_whole_cache(served)
    burst(100)
    before = process.memory_info().rss
    burst(600)
    assert process.memory_info().rss - before < 50 * 2**20


def _touch_the_whole_cache(served: Served) -> None:
    """The pool's memory is the process's once it has been written to.

    1,456 blocks of 32 tokens: a request takes at least one, and that which was free longest.
    """
    for _ in range(32):
        sinks = [served.submit(GenerationRequest([100 + i], max_tokens=1)) for i in range(50)]
        for sink in sinks:
            sink.wait()


@pytest.fixture(scope="module")
def adapted(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Bundle:
    home = tmp_path_factory.mktemp("adapted")
    return adapted_bundle(bundle, home, ("one", "two"), EngineSettings(precision_hint="f32"))


def _merged(bundle: Bundle, adapter: str) -> Callable[[list[int]], int]:
    """The likeliest next token of the same weights with the adapter added to them in numpy."""
    entry = next(a for a in bundle.manifest.adapters if a.name == adapter)
    tensors = load_file(bundle.engine_dir / entry.file)
    model = openvino.Core().read_model(bundle.engine_dir / "openvino_model.xml")
    merged = 0
    for op in model.get_ops():
        if op.get_type_name() != "MatMul":
            continue
        key = f"base_model.model.{op.get_friendly_name()}"
        if f"{key}.lora_A.weight" not in tensors:
            continue
        weight = op.input_value(1).get_node()
        if weight.get_type_name() == "Convert":
            weight = weight.input_value(0).get_node()
        delta = tensors[f"{key}.lora_B.weight"] @ tensors[f"{key}.lora_A.weight"]
        values = weight.data.astype(np.float32) + entry.scale * delta
        op.input(1).replace_source_output(openvino.op.Constant(values).output(0))
        merged += 1
    assert merged == len(tensors) // 2
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def following(ids: list[int]) -> int:
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, len(ids)), np.int64),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        return int(compiled.create_infer_request().infer(inputs)[0][0, -1].argmax())

    return following


@pytest.mark.slow(reason="weights are merged and built anew to compare with")
def test_adapters_act_per_request_in_one_batch_as_merged_weights_would(adapted: Bundle) -> None:
    assert adapted.manifest.architecture.layers == LAYERS
    made = Served(adapted, adapted.manifest.engine_settings)
    try:
        question = "Tell me about the history of the steam engine."
        names = (None, "one", "two", None, "one")
        sinks = [made.submit(made.request(question, 6, adapter=name)) for name in names]
        answers = [sink.wait() for sink in sinks]
        assert answers[0] == answers[3]
        assert answers[1] == answers[4]
        assert len({tuple(a) for a in answers}) == 3
        following = _merged(adapted, "one")
        ids = made.chat(question)
        for token in answers[1]:
            assert following(ids) == token
            ids = [*ids, token]
    finally:
        made.service.close()


@pytest.mark.whole_machine
def test_prompt_lookup_keeps_the_answer_and_counts_what_it_saved(bundle: Bundle) -> None:
    exact = EngineSettings(precision_hint="f32", kv_cache_precision="auto")
    question = "Repeat this text: the quick brown fox jumps over the lazy dog by the river."
    answers = []
    for speculative in ("none", "prompt_lookup"):
        made = Served(bundle, exact.model_copy(update={"speculative": speculative}))
        try:
            answers.append(made.submit(made.request(question, 60)).wait())
            assert made.stats is not None
            accepted = made.stats.accepted_draft_tokens
        finally:
            made.service.close()
    assert answers[0] == answers[1]
    assert accepted > 0
