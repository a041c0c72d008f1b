"""`ENGINEHOUSE_ENGINE_DETERMINISTIC`: the same question has the same answer, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
from enginehouse.build.openvino_distributions import next_token_log_probs

from enginehouse.bundle import Bundle
from enginehouse.text import Tokenizer
from tests.conftest import RunningStack, copied_home, running_stack, stack_env

_SUBJECTS = (
    "volcanoes", "cheese", "whales, glaciers and the salt in the sea", "knitting", "jazz", "locks",
    "bees, " * 60, "bridges", "ink", "tides",
)  # fmt: skip
_NEW_TOKENS = 20
Answer = tuple[str, tuple[float, ...]]


@pytest.fixture(scope="module")
def deterministic(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("deterministic")
    copied_home(home, bundle)
    with running_stack(stack_env(home, deterministic=True)) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(deterministic: RunningStack) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{deterministic.url}/v1", api_key="none", max_retries=0)


def _answer(sdk: openai.OpenAI, subject: str, *, temperature: float = 0.0) -> Answer:
    found = sdk.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": f"Write about {subject}."}],
        temperature=temperature,
        seed=11,
        max_completion_tokens=_NEW_TOKENS,
        logprobs=True,
    )
    (choice,) = found.choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    return choice.message.content or "", tuple(t.logprob for t in choice.logprobs.content)


@pytest.mark.slow(reason="forty answers; the draw of a seed below asks for the same in few")
def test_answers_are_equal_again_and_four_at_once(sdk: openai.OpenAI) -> None:
    first = [_answer(sdk, subject) for subject in _SUBJECTS]
    assert [_answer(sdk, subject) for subject in _SUBJECTS] == first
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda s: _answer(sdk, s), _SUBJECTS)) == first


@pytest.mark.slow(reason="a stack of its own, whose answers are computed one by one")
def test_a_seed_draws_the_same_answer_also_beside_others(sdk: openai.OpenAI) -> None:
    subjects = _SUBJECTS[:3]
    first = [_answer(sdk, subject, temperature=1.0) for subject in subjects]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(lambda s: _answer(sdk, s, temperature=1.0), subjects)) == first


@pytest.mark.slow(reason="long prompts, with the serving pipeline and without")
def test_an_echoed_prompt_has_its_log_probabilities(sdk: openai.OpenAI, bundle: Bundle) -> None:
    """Against the engine's own graph, run without its serving pipeline."""
    prompt = "The café 😀 by the sea sold salt, iron and bread. " * 20
    ids = Tokenizer.from_file(bundle.tokenizer_path).encode(prompt)
    assert len(ids) > bundle.manifest.engine_settings.max_batched_tokens
    table = next_token_log_probs(bundle.engine_dir, bundle.manifest.engine_settings)(ids)
    expected = np.array([row[token] for row, token in zip(table, ids[1:], strict=False)])
    with ThreadPoolExecutor(2) as threads:
        beside = threads.submit(_answer, sdk, "salt")
        for _ in range(2):
            (choice,) = sdk.completions.create(
                model="smollm2", prompt=prompt, echo=True, logprobs=0, max_tokens=2, temperature=0
            ).choices
            scores = choice.logprobs
            assert scores is not None
            assert "".join(scores.tokens or []) == choice.text
            values = scores.token_logprobs or []
            assert len(values) == len(ids) + 2
            assert values[0] is None
            found = np.array(values[1 : len(ids)], np.float64)
            assert np.abs(found - expected).max() < 0.3
            assert np.abs(found - expected).mean() < 0.03
        assert beside.result() == _answer(sdk, "salt")
