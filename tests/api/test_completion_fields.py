"""Fields of completion requests, and tokenizing, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from enginehouse.errors import InvalidRequestError
from tests.api.speaking import Adapter, speaking


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _ids(adapter: Adapter, text: str) -> list[int]:
    return adapter.revision.tokenizer.encode(text)


def test_several_prompts_are_answered_in_their_order(adapter: Adapter) -> None:
    body = adapter.complete(" a", " b", " c", " d", prompt=["Hello", "Hello world"], n=2)
    assert [c["index"] for c in body["choices"]] == [0, 1, 2, 3]
    asked = [list(request.input_ids) for _, request in adapter.replica.asked[-4:]]
    first, second = _ids(adapter, "Hello"), _ids(adapter, "Hello world")
    assert asked == [first, first, second, second]
    # Each prompt counts once, the answers all: one token and the end.
    assert body["usage"]["prompt_tokens"] == len(first) + len(second)
    assert body["usage"]["completion_tokens"] == 8


def test_prompts_are_text_or_ids(adapter: Adapter) -> None:
    for prompt in ("Hello", ["Hello"], _ids(adapter, "Hello"), [_ids(adapter, "Hello")]):
        body = adapter.complete(" you", prompt=prompt)
        assert list(adapter.replica.asked[-1][1].input_ids) == _ids(adapter, "Hello")
        assert body["choices"][0]["text"] == " you"


def test_the_best_is_chosen_for_each_prompt(adapter: Adapter) -> None:
    texts = [" a", " b b b b", " c", " d d d d"]
    body = adapter.complete(*texts, prompt=["x", "y"], best_of=2)
    # A last token of -0.1 weighs more in short answers.
    assert [c["text"] for c in body["choices"]] == [" a", " c"]
    assert [c["index"] for c in body["choices"]] == [0, 1]


@pytest.mark.parametrize("as_ids", [False, True])
def test_echo_puts_the_prompt_first(adapter: Adapter, *, as_ids: bool) -> None:
    prompt: Any = _ids(adapter, "Hello world") if as_ids else "Hello world"
    body = adapter.complete(" you", prompt=prompt, echo=True, logprobs=0)
    (choice,) = body["choices"]
    assert choice["text"] == "Hello world you"
    scores = choice["logprobs"]
    assert scores["tokens"][:3] == ["Hello", " world", " you"]
    assert scores["token_logprobs"][:3] == [None, None, -0.5]
    assert scores["text_offset"][:3] == [0, 5, 11]
    assert body["usage"]["prompt_tokens"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_echoed_prompt_has_the_log_probabilities_that_the_engine_gives(
    adapter: Adapter, *, stream: bool
) -> None:
    adapter.replica.prompt_log_prob = -0.25
    asked = {"prompt": "Hello big world", "echo": True, "logprobs": 0, "stream": stream}
    body = adapter.complete(" you", **asked)
    adapter.replica.prompt_log_prob = None
    choices = [part["choices"][0] for part in (body if stream else [body])]
    values = [value for each in choices for value in each["logprobs"]["token_logprobs"]]
    assert values == [None, -0.25, -0.25, -0.5]
    assert adapter.replica.asked[-1][1].prompt_log_probs
    # Nobody else's request is one that an engine may have to refuse.
    adapter.complete(" you", prompt="Hello", echo=True)
    adapter.complete(" you", prompt="Hello", logprobs=0)
    assert not any(request.prompt_log_probs for _, request in adapter.replica.asked[-2:])


def test_an_engine_that_has_none_of_a_prompt_names_the_callers_field(adapter: Adapter) -> None:
    error = InvalidRequestError("none of a prompt here", field="prompt_log_probs")
    adapter.replica.refusal = error
    said = adapter.complete(prompt="a", echo=True, logprobs=0, status=400)["error"]
    adapter.replica.refusal = None
    assert said["param"] == "logprobs"


def test_echo_is_streamed_once_for_each_answer(adapter: Adapter) -> None:
    chunks = adapter.complete(" a a", " b b", prompt=["x", "y"], echo=True, stream=True)
    texts = {0: "", 1: ""}
    for chunk in chunks:
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["text"]
    assert texts == {0: "x a a", 1: "y b b"}


@pytest.mark.parametrize(
    ("change", "param", "word"),
    [
        ({"prompt": ""}, "prompt", "empty"),
        ({"prompt": []}, "prompt", "empty"),
        ({"prompt": ["a", ""]}, "prompt", "empty"),
        ({"prompt": [10**6]}, "prompt", "49151"),
        ({"prompt": "a", "suffix": "b"}, "suffix", "between"),
        ({"prompt": "a", "logprobs": 2}, "logprobs", "chosen token"),
        ({"prompt": ["a"] * 100, "n": 3}, "prompt", "split"),
        ({"prompt": "a", "best_of": 1, "n": 2}, "best_of", "less than n"),
    ],
)
def test_what_cannot_be_continued_is_refused_by_name(
    adapter: Adapter, change: dict[str, Any], param: str | None, word: str
) -> None:
    error = adapter.complete(status=400, **change)["error"]
    assert error["param"] == param
    assert word in error["message"]


def test_text_goes_to_tokens_and_back(adapter: Adapter) -> None:
    text = "Hello 😀 <|im_start|>"
    found = adapter.http.post("/tokenize", json={"model": "smollm2", "prompt": text})
    assert found.headers["x-enginehouse-version"] == "1"
    body = found.json()
    assert body["count"] == len(body["tokens"])
    assert body["max_model_len"] == 2048
    back = {"model": "smollm2", "tokens": body["tokens"]}
    assert adapter.http.post("/detokenize", json=back).json() == {"prompt": text}


def test_a_conversation_has_the_tokens_of_its_prompt(adapter: Adapter) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    asked = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    body = adapter.http.post("/tokenize", json={"model": "smollm2"} | asked).json()
    usage = adapter.chat("Hi.", **asked)["usage"]
    assert usage["prompt_tokens"] == body["count"]
    assert body["tokens"] == list(adapter.replica.asked[-1][1].input_ids)


@pytest.mark.parametrize(
    ("path", "change", "status"),
    [
        ("/tokenize", {}, 400),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, 400),
        ("/tokenize", {"prompt": "a", "tools": [{"type": "function",
                                                 "function": {"name": "f"}}]}, 400),
        ("/tokenize", {"prompt": "a", "model": "nobody"}, 404),
        ("/detokenize", {"tokens": [10**6]}, 400),
        ("/detokenize", {"tokens": [-1]}, 400),
    ],
)  # fmt: skip
def test_bad_requests_to_the_tokenizer_are_refused(
    adapter: Adapter, path: str, change: dict[str, Any], status: int
) -> None:
    answer = adapter.http.post(path, json={"model": "smollm2"} | change)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
