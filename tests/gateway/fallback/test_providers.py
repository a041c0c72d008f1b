from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.call import Call, ServedBy
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import Usage
from enginehouse.gateway.fallback.config import ProviderConfig
from enginehouse.gateway.fallback.connections import open_providers
from enginehouse.gateway.fallback.stage import ANSWERED_BY_HEADER, Fallback
from enginehouse.gateway.fallback.translate import body_of, hindrance

from enginehouse.errors import (
    EngineUnavailableError,
    QueueFullError,
    ServingError,
    SettingsError,
)
from enginehouse.generation import FinishReason
from tests.gateway.fallback.fallback_calls import Models, call_of, fallback, text_of
from tests.gateway.fallback.provider_server import (
    Act,
    ProviderServer,
    chunk,
    closes_at_once,
    cuts_after,
    hangs_after,
    never_answers,
    provider_server,
    says,
    status,
)
from tests.gateway.through import through

DOWN = EngineUnavailableError("down")
PROMPT = "a prompt that nobody may log"
KEY = "sk-never-shown"
Told = Callable[[ProviderServer, Fallback, Models], Awaitable[None]]


def _run(scenario: Told, *, error: Exception = DOWN, **provider: Any) -> None:
    """A scenario with model `m` in front of a provider."""

    async def whole() -> None:
        async with provider_server() as server:
            providers = {
                "p": {"base_url": server.url, "models": {"m": "gpt-x"}, **provider},
                "gone": {"base_url": "http://127.0.0.1:9/v1", "models": {"*": "gpt-y"}},
            }
            chains = {
                "m": {"targets": [{"provider": "p", "on": ["overload", "outage", "context"]}]},
                "far": {"targets": [{"provider": "gone"}, {"provider": "p", "model": "gpt-z"}]},
            }
            async with fallback(providers=providers, chains=chains) as (stage, _):
                await scenario(server, stage, Models({"m": error, "far": error}))

    asyncio.run(whole())


def _fast(**more: Any) -> dict[str, Any]:
    return {"retry": {"base_s": 0.001, "most_s": 1.0, **more}}


def test_a_provider_answers_for_a_model_that_is_down(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")

    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(says("Hel", "lo"))
        call = call_of(
            identity={"temperature": 0.5, "max_tokens": 9, "ignore_eos": False, "n": 1},
            metadata={"secret": "stays"},
            user="u",
        )
        async with aclosing(through(stage, call, models)) as pieces:
            found = [piece async for piece in pieces]

        assert "".join(piece.text for piece in found) == "Hello"
        assert found[-1].finish == FinishReason.STOP
        assert call.served_by == ServedBy("gpt-x", None, None, "provider:p")
        assert call.usage == Usage(11, 7)
        assert call.response_headers[ANSWERED_BY_HEADER] == "provider:p"
        assert VERSION_HEADER not in call.response_headers
        assert call.answered is not None
        assert (call.answered.revision, call.answered.choices) == (None, None)
        (asked,) = server.asked
        assert asked.path == "/v1/chat/completions"
        assert asked.body == {
            "model": "gpt-x",
            "messages": [{"role": "user", "content": "Hello there"}],
            "temperature": 0.5,
            "max_tokens": 9,
            "n": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert asked.headers["x-request-id"] == call.request_id
        assert asked.headers["x-extra"] == "1"

    _run(scenario, api_key_file=str(key_file), headers={"x-extra": "1"})


def test_completions_go_to_completions() -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        async def act(exchange: Any) -> None:
            await exchange.head()
            for index in (1, 0):
                await exchange.event({"choices": [{"index": index, "text": f"t{index}"}]})
                await exchange.event(
                    {"choices": [{"index": index, "text": "", "finish_reason": "length"}]}
                )

        server.will(act)
        call = call_of(endpoint="completions", texts=["one", "two"])
        async with aclosing(through(stage, call, models)) as pieces:
            found = [(p.index, p.text, p.finish) async for p in pieces]

        length = FinishReason.LENGTH
        assert found == [(1, "t1", None), (1, "", length), (0, "t0", None), (0, "", length)]
        assert server.asked[0].path == "/v1/completions"
        assert server.asked[0].body["prompt"] == ["one", "two"]
        assert call.usage == Usage(2, 2)  # guessed: the provider gave no figures

    _run(scenario)


@pytest.mark.parametrize(
    "bad",
    [
        status(500),
        status(502),
        status(503, retry_after="0"),
        status(429),
        closes_at_once,
        cuts_after(),
        cuts_after({"choices": []}),
        cuts_after({"error": {"message": "overloaded"}}),
        cuts_after("no JSON"),
        cuts_after({"choices": [{"index": "x"}]}),
        cuts_after("[DONE]"),
    ],
)
def test_what_fails_before_the_first_piece_is_tried_again(bad: Act) -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(bad, says("fine"))
        assert await text_of(stage, call_of(), models) == "fine"
        assert len(server.asked) == 2

    _run(scenario, **_fast())


@pytest.mark.parametrize(
    ("bad", "requests"),
    [
        (status(500), 2),
        (status(401), 1),
        (status(404), 1),
        (status(307, location="http://127.0.0.1:9/"), 1),
        (status(400), 1),
        (status(429, retry_after="3600"), 1),
        (status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 1),
        (never_answers, 1),
        (hangs_after(), 1),
    ],
)
def test_a_provider_that_fails_leaves_the_first_error_to_the_caller(
    bad: Act, requests: int
) -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(bad)
        call = call_of()
        with pytest.raises(QueueFullError, match="ours is full"):
            await text_of(stage, call, models)
        assert len(server.asked) == requests
        assert [note["target"] for note in call.findings["fallback"]] == ["m", "provider:p"]

    _run(scenario, error=QueueFullError("ours is full"), first_piece_timeout_s=0.3, **_fast())


@pytest.mark.parametrize(
    "bad",
    [
        cuts_after(chunk("be")),
        cuts_after(chunk("be"), {"error": {"message": "broken"}}),
        cuts_after(chunk("be"), "no JSON"),
        cuts_after(chunk("be"), "[DONE]"),
        hangs_after(chunk("be")),
    ],
)
def test_an_answer_that_breaks_off_is_an_error_and_not_begun_again(bad: Act) -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(bad)
        async with aclosing(through(stage, call_of(), models)) as pieces:
            assert (await anext(pieces)).text == "be"
            with pytest.raises(ServingError):
                await anext(pieces)
        assert len(server.asked) == 1

    _run(scenario, between_pieces_timeout_s=0.2, **_fast())


@pytest.mark.parametrize("end", [hangs_after, cuts_after])
def test_an_answer_that_is_whole_does_not_fail_for_what_comes_behind(
    end: Callable[..., Act],
) -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(end(chunk("be"), chunk("", "stop")))
        assert await text_of(stage, call_of(), models) == "be"

    _run(scenario, between_pieces_timeout_s=0.2)


def test_a_provider_that_cannot_be_reached_passes_the_call_on() -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(says("fine"))
        call = call_of("far")
        assert await text_of(stage, call, models) == "fine"
        assert server.asked[0].body["model"] == "gpt-z"
        assert call.served_by == ServedBy("gpt-z", None, None, "provider:p")

    _run(scenario)


def test_the_callers_deadline_ends_the_waiting_for_a_provider() -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(never_answers)
        with pytest.raises(EngineUnavailableError, match="down"):
            await text_of(stage, call_of(deadline=time.monotonic() + 0.2), models)
        await server.left.wait()

    _run(scenario)


def test_a_caller_who_leaves_ends_the_request_to_the_provider() -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        server.will(hangs_after(chunk("be")))
        call = call_of()
        async with aclosing(through(stage, call, models)) as pieces:
            await anext(pieces)
        await server.left.wait()
        assert call.usage == Usage(3, 1)  # what was seen of it

    _run(scenario)


def test_neither_prompt_nor_key_nor_a_providers_words_are_logged_or_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    caplog.set_level(logging.DEBUG)

    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        models.does = {"m": EngineUnavailableError("down")}
        for act in (status(500, json.dumps({"error": {"message": PROMPT}})), cuts_after(PROMPT)):
            server.will(act)
            call = call_of(messages=[{"role": "user", "content": PROMPT}])
            with pytest.raises(ServingError) as raised:
                await text_of(stage, call, models)
            shown = f"{raised.value} {call.findings} {call.response_headers}"
            assert PROMPT not in shown
            assert KEY not in shown

    _run(scenario, api_key_file=str(key_file), **_fast())
    assert PROMPT not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_key_that_is_not_there_is_refused_at_the_start(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    config = ProviderConfig.model_validate({"base_url": "http://h/v1", "api_key_file": path})

    async def opening() -> None:
        async with open_providers({"p": config}):
            pass

    with pytest.raises(SettingsError, match=r"providers\.p\.api_key_file"):
        asyncio.run(opening())


def _conversation(**message: Any) -> Call:
    return call_of(messages=[{"role": "user", "content": "Hi", **message}])


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (call_of(), None),
        (call_of(identity={"response_format": {"type": "json_object"}, "logprobs": False}), None),
        (call_of(identity={"tools": [{}], "tool_choice": "none"}), None),
        (call_of(identity={"tools": [{}]}), "tools"),
        (call_of(tools=[{}]), "tools"),
        (call_of(identity={"logprobs": True}), "logprobs"),
        (call_of(identity={"guided_regex": "a+"}), "guided_regex"),
        (call_of(identity={"logit_bias": {"7": 1.0}}), "logit_bias"),
        (call_of(identity={"ignore_eos": True}), "ignore_eos"),
        (_conversation(tool_calls=[]), "messages"),
        (call_of(endpoint="completions", texts=["a"]), None),
        (call_of(endpoint="completions", texts=[[1, 2]]), "prompt"),
        (call_of(endpoint="completions", texts=["a"], identity={"logprobs": 0}), "logprobs"),
        (call_of(endpoint="embeddings", texts=["a"]), "endpoint"),
    ],
)
def test_calls_that_only_our_models_can_answer_name_the_reason(
    call: Call, field: str | None
) -> None:
    assert hindrance(call) == field


def test_what_only_our_models_can_answer_is_not_sent_to_a_provider() -> None:
    async def scenario(server: ProviderServer, stage: Fallback, models: Models) -> None:
        with pytest.raises(EngineUnavailableError):
            await text_of(stage, call_of(tools=[{}]), models)
        assert not server.asked

    _run(scenario)


def test_a_body_has_nothing_that_a_provider_may_not_know() -> None:
    call = call_of(identity={"ignore_eos": False, "seed": None, "stop": ["x"], "verbosity": "m"})
    assert body_of(call, "g").keys() == {"messages", "model", "stop", "stream", "stream_options"}
