"""Guided answers, several answers, adapters and biases through the openai SDK and raw HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from tests.conftest import RunningStack

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def ask(sdk: openai.OpenAI, **options: Any) -> Any:
    defaults = {"model": "smollm2", "messages": FRANCE, "temperature": 0}
    return sdk.chat.completions.create(**(defaults | options))


def schema(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "person", "schema": value}}


def test_a_json_schema_is_kept_whole_and_streamed(sdk: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "Describe a person."}]
    whole = ask(sdk, messages=messages, response_format=schema(PERSON), max_tokens=80)
    jsonschema.validate(json.loads(whole.choices[0].message.content), PERSON)
    chunks = ask(sdk, messages=messages, response_format=schema(PERSON), max_tokens=80, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == whole.choices[0].message.content


def test_a_json_object_and_what_was_cut_by_the_limit(sdk: openai.OpenAI) -> None:
    some = ask(sdk, response_format={"type": "json_object"}, max_tokens=200)
    assert isinstance(json.loads(some.choices[0].message.content), dict)
    cut = ask(sdk, extra_body={"guided_regex": "[a-z ]{100}"}, max_tokens=3)
    assert cut.choices[0].finish_reason == "length"
    regex = ask(sdk, extra_body={"guided_regex": "(Paris|London)"})
    assert regex.choices[0].message.content in ("Paris", "London")
    grammar = ask(sdk, extra_body={"guided_grammar": 'root ::= "yes" | "no"'})
    assert grammar.choices[0].message.content in ("yes", "no")


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"response_format": schema({"type": "objekt"})}, "response_format", "/type"),
        ({"response_format": schema({"uniqueItems": True})}, "response_format", "/uniqueItems"),
        ({"guided_regex": "(a"}, "guided_regex", "position"),
        ({"guided_regex": "a", "guided_grammar": "b"}, "guided_regex", "one constraint"),
        ({"logit_bias": {"7": 5}}, "logit_bias", "not supported by this runtime"),
        ({"n": 17}, "n", "16"),
        ({"top_logprobs": 3, "logprobs": True}, "top_logprobs", ""),
        ({"min_p": 1.0}, "min_p", "<= 0.9999"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    stack: RunningStack, options: dict[str, Any], field: str, said: str
) -> None:
    body = {"model": "smollm2", "messages": FRANCE, **options}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"].split(".")[0] == field
    assert said in error["message"]


def test_an_adapter_that_is_not_there(stack: RunningStack) -> None:
    body = {"model": "smollm2:none", "messages": FRANCE}
    answer = httpx.post(f"{stack.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 404
    assert "no adapter 'none'" in answer.json()["error"]["message"]


def test_several_answers_whole_and_streamed(sdk: openai.OpenAI) -> None:
    options: dict[str, Any] = {"n": 3, "seed": 5, "temperature": 1.3, "max_tokens": 24}
    whole = ask(sdk, **options)
    assert [c.index for c in whole.choices] == [0, 1, 2]
    assert len({c.message.content for c in whole.choices}) > 1
    assert whole.usage.completion_tokens > 24
    texts = ["", "", ""]
    finished = []
    for chunk in ask(sdk, **options, stream=True):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        finished += [choice.index] if choice.finish_reason else []
    assert sorted(finished) == [0, 1, 2]
    assert all(texts)


def test_the_best_of_several_completions(sdk: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "model": "smollm2", "prompt": "The sea is", "max_tokens": 12, "temperature": 1.5,
        "seed": 3, "logprobs": 0,
    }  # fmt: skip
    all_four = sdk.completions.create(**options, n=4)
    best = sdk.completions.create(**options, n=2, best_of=4)

    def mean(choice: Any) -> float:
        values = choice.logprobs.token_logprobs
        return sum(values) / len(values)

    assert [c.index for c in best.choices] == [0, 1]
    assert mean(best.choices[0]) >= mean(best.choices[1])
    assert mean(best.choices[0]) > min(mean(c) for c in all_four.choices)
    with pytest.raises(openai.BadRequestError, match="best_of"):
        sdk.completions.create(**options, n=4, best_of=2)


def test_token_healing_finishes_a_token_that_the_prompt_broke(sdk: openai.OpenAI) -> None:
    """ "Par" and "is" are tokens of their own; whole words are what the model knows."""
    options: dict[str, Any] = {"model": "smollm2", "max_tokens": 6, "temperature": 0}
    prompt = "The capital of Italy is Rome. The capital of France is Par"
    healed = sdk.completions.create(**options, prompt=prompt, extra_body={"token_healing": True})
    assert healed.choices[0].text.startswith("is")
    with pytest.raises(openai.BadRequestError, match="token_healing"):
        sdk.completions.create(
            **options, prompt=prompt, extra_body={"token_healing": True, "guided_regex": "a"}
        )
