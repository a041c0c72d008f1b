"""The same greedy prompts through adapter, ensemble and the raw pipeline."""

from __future__ import annotations

import openai
import pytest
from enginehouse.client import TritonClient
from enginehouse.engine.openvino import pipeline

from enginehouse.bundle import Bundle
from enginehouse.generation import GenerationRequest
from enginehouse.text import Tokenizer
from enginehouse.text.answer_text import token_texts
from tests.conftest import RunningStack
from tests.greedy import greedy

_SUBJECTS = (
    "rivers", "bridges", "clocks", "bread", "maps", "paper", "glass", "salt", "trains", "gardens",
    "bees", "volcanoes", "ships", "music", "winter", "tea", "deserts", "telescopes", "markets",
    "wool", "rain", "mountains", "printing", "horses", "ice", "stars", "canals", "chess", "wind",
    "coins", "lamps", "東京",
)  # fmt: skip
_NEW_TOKENS = 16


def _raw(bundle: Bundle, prompts: list[list[int]]) -> list[list[int]]:
    engine = pipeline(bundle.engine_dir, bundle.manifest.engine_settings)
    ends = frozenset(bundle.manifest.special_tokens.end_ids)
    return [greedy(engine, GenerationRequest(p, _NEW_TOKENS, end_ids=ends)) for p in prompts]


@pytest.mark.parametrize(
    "count",
    [3, pytest.param(32, marks=pytest.mark.slow(reason="96 answers, one after the other"))],
)
def test_greedy_prompts_are_token_identical_on_every_path(
    stack: RunningStack, sdk: openai.OpenAI, bundle: Bundle, count: int
) -> None:
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    texts = [f"A short note on {subject}, with three facts:" for subject in _SUBJECTS[-count:]]
    assert len(texts) == count
    ends = bundle.manifest.special_tokens.end_ids
    expected = _raw(bundle, [tokenizer.encode(text) for text in texts])
    with TritonClient(stack.grpc) as client:
        ensemble = ["".join(client.generate_text("smollm2", t, _NEW_TOKENS)) for t in texts]
    assert ensemble == [tokenizer.decode(ids) for ids in expected]
    for text, ids in zip(texts, expected, strict=True):
        answer = sdk.completions.create(
            model="smollm2", prompt=text, max_tokens=_NEW_TOKENS, temperature=0, logprobs=0
        )
        choice = answer.choices[0]
        shown = ids[:-1] if ids[-1] in ends else ids
        assert choice.logprobs.tokens == token_texts(tokenizer, shown)
        assert choice.text == tokenizer.decode(ids)
