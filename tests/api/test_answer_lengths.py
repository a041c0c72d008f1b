"""How long answers may be: defaults, the endpoint's ceiling, and what does not fit the context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from enginehouse.api.answer_ceiling import AnswerCeiling

from enginehouse.settings import ApiSettings
from tests.api.speaking import Adapter, speaking

_CONTEXT = 2048
_LONG = "word " * 2100


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


@pytest.fixture(scope="module")
def capped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    home = tmp_path_factory.mktemp("capped")
    (home / "endpoint.yaml").write_text("limits: {max_completion_tokens: 20}\n", "utf-8")
    with speaking(home) as running:
        yield running


def _asked(adapter: Adapter) -> int:
    """How many tokens the engine was asked for last."""
    return int(adapter.replica.asked[-1][1].max_tokens)


def test_a_completion_has_sixteen_tokens_unless_the_caller_says_more(adapter: Adapter) -> None:
    body = adapter.complete(" a" * 40, prompt="x")
    assert body["usage"]["completion_tokens"] == 16
    assert body["choices"][0]["finish_reason"] == "length"
    adapter.complete("x", prompt="x", max_tokens=None, min_tokens=30)
    assert _asked(adapter) == 30
    adapter.complete("x", prompt="x", max_tokens=100)
    assert _asked(adapter) == 100
    adapter.chat("x")
    assert _asked(adapter) > 1900


def test_the_default_never_exceeds_the_room(adapter: Adapter) -> None:
    adapter.complete("x", prompt=[5] * (_CONTEXT - 3))
    assert _asked(adapter) == 3


def test_nothing_is_generated_where_nothing_is_wanted(adapter: Adapter) -> None:
    before = len(adapter.replica.asked)
    body = adapter.complete(prompt="Hello world", max_tokens=0, echo=True)
    (choice,) = body["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("Hello world", "length")
    assert body["usage"]["completion_tokens"] == 0
    several = adapter.complete(prompt=["a", "b"], max_tokens=0, echo=True, n=1, best_of=2)
    assert [c["text"] for c in several["choices"]] == ["a", "b"]
    chunks = adapter.complete(prompt="a", max_tokens=0, echo=True, stream=True)
    assert "".join(c["choices"][0]["text"] for c in chunks) == "a"
    adapter.complete(prompt=[5] * _CONTEXT, max_tokens=0)
    assert len(adapter.replica.asked) == before


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_is_scored_and_not_continued(adapter: Adapter, *, stream: bool) -> None:
    adapter.replica.prompt_log_prob = -0.25
    asked = {"prompt": "Hello world", "max_tokens": 0, "echo": True, "logprobs": 0}
    body = adapter.complete(" you there", stream=stream, **asked)
    adapter.replica.prompt_log_prob = None
    (choice,) = (body[0] if stream else body)["choices"]
    assert not stream or len(body) == 1
    assert (choice["text"], choice["finish_reason"]) == ("Hello world", "length")
    assert choice["logprobs"]["tokens"] == ["Hello", " world"]
    assert choice["logprobs"]["token_logprobs"] == [None, -0.25]
    assert choice["logprobs"]["text_offset"] == [0, 5]
    assert _asked(adapter) == 1


def test_an_answer_ends_at_the_ceiling(capped: Adapter) -> None:
    for wanted in (None, 500, 21, 20):
        body = capped.chat("a " * 100, max_completion_tokens=wanted)
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 20
    assert capped.chat("a " * 100, max_tokens=7)["usage"]["completion_tokens"] == 7
    assert capped.complete("a " * 99, prompt="x", max_tokens=99)["usage"]["completion_tokens"] == 20
    assert capped.complete("a " * 99, prompt="x")["usage"]["completion_tokens"] == 16
    capped.replica.says.append("a " * 100)
    asked = {"model": "smollm2", "input": "x", "max_output_tokens": 1000}
    answer = capped.http.post("/v1/responses", json=asked)
    assert answer.json()["incomplete_details"] == {"reason": "max_output_tokens"}


def test_the_ceiling_is_set_so_that_the_slowest_answer_ends() -> None:
    assert AnswerCeiling.of(ApiSettings()).tokens == 3840
    short = ApiSettings(request_timeout_s=60.0, first_token_timeout_s=120.0)
    assert AnswerCeiling.of(short).tokens == 240


_OVERFLOWS: list[tuple[str, dict[str, Any], str, str]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": _LONG}]}, "messages",
     "Please reduce the length of the messages."),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3000},
     "max_tokens", "3000 in the completion). Please reduce the length of the messages or"),
    ("/v1/chat/completions",
     {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 3000},
     "max_completion_tokens", "3000 in the completion)"),
    ("/v1/completions", {"prompt": _LONG}, "prompt", "the length of the prompt."),
    ("/v1/completions", {"prompt": ["x", _LONG]}, "prompt", "the length of the prompt."),
    ("/v1/completions", {"prompt": "x", "max_tokens": 2048}, "max_tokens",
     "you requested 2049 tokens (1 in the prompt, 2048 in the completion)"),
    ("/v1/responses", {"input": _LONG}, "input", ""),
    ("/v1/responses", {"input": "x", "max_output_tokens": 3000}, "max_output_tokens", ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param", "words"), _OVERFLOWS)
def test_what_does_not_fit_is_refused_in_the_words_that_clients_look_for(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, path: str, body: Any, param: str, words: str
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from litellm.litellm_core_utils.exception_mapping_utils import ExceptionCheckers

    answer = adapter.http.post(path, json={"model": "smollm2"} | body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"].startswith(f"This model's maximum context length is {_CONTEXT} tokens.")
    assert "However, you" in error["message"]
    assert words in error["message"]
    assert ExceptionCheckers.is_error_str_context_window_exceeded(error["message"])
    # LangChain looks for the code in the text, where newer SDKs do not put it themselves.
    assert error["message"].count("context_length_exceeded") == 1
