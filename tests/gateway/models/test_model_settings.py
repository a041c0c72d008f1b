from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from enginehouse.api.call import PRIORITIES, Ask, Call
from enginehouse.api.defaults import ModelDefaults
from enginehouse.api.generation import TextChunk
from enginehouse.api.schemas import ChatRequest
from enginehouse.gateway.models.settings import (
    ModelsConfig,
    ModelSettings,
    PerModel,
)
from pydantic import ValidationError

from enginehouse.errors import InvalidRequestError
from tests.gateway.through import text_call, through

CONFIG = ModelsConfig.model_validate(
    {
        "aliases": {"gpt-4o-mini": "smollm2", "pinned": "smollm2@7", "ft:own": "smollm2:legal"},
        "settings": {
            "smollm2": {
                "sampling": {"temperature": 0.25, "top_k": 5},
                "max_tokens": 100,
                "priority": "low",
                "system_prompt": "prompts:/house@champion",
            }
        },
    }
)
DEFAULTS = ModelSettings(CONFIG).defaults("smollm2")


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("gpt-4o-mini", "smollm2"),
        ("gpt-4o-mini@3", "smollm2@3"),
        ("gpt-4o-mini@3:legal", "smollm2@3:legal"),
        ("pinned", "smollm2@7"),
        ("pinned@3", "pinned@3"),
        ("ft:own", "smollm2:legal"),
        ("smollm2", "smollm2"),
        ("nobody", "nobody"),
    ],
)
def test_an_alias_stands_for_its_model(asked: str, model: str) -> None:
    assert ModelSettings(CONFIG).resolved(asked) == model


async def _behind(call: Call) -> AsyncGenerator[TextChunk, None]:
    yield TextChunk(call.model)


def _through(model: str, **more: Any) -> Call:
    call = text_call(Ask("chat.completions", "c"), model, **more)

    async def scenario() -> None:
        async with aclosing(through(ModelSettings(CONFIG), call, _behind)) as pieces:
            assert [piece.text async for piece in pieces] == [call.model]

    asyncio.run(scenario())
    return call


def test_a_call_by_alias_goes_to_the_model_with_its_priority() -> None:
    call = _through("gpt-4o-mini")
    assert (call.model, call.priority) == ("smollm2", PRIORITIES["low"])


def test_a_call_that_has_a_priority_keeps_it() -> None:
    assert _through("smollm2", priority=PRIORITIES["high"]).priority == PRIORITIES["high"]
    assert _through("other").priority == PRIORITIES["normal"]


def test_settings_are_found_by_every_name_of_the_model() -> None:
    settings = ModelSettings(CONFIG)
    for name in ("smollm2", "smollm2@3:legal", "gpt-4o-mini", "pinned"):
        assert settings.of(name).system_prompt == "prompts:/house@champion"
    assert settings.of("other") == PerModel()
    assert settings.defaults("smollm2") != settings.defaults("other")


def _chat(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return ChatRequest.model_validate(body)


def test_what_the_caller_left_out_is_taken_from_the_settings() -> None:
    body = DEFAULTS.settled(_chat(temperature=1.0))
    assert (body.temperature, body.top_k, body.max_tokens) == (1.0, 5, 100)
    assert ModelDefaults().settled(body) is body


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_more_tokens_than_the_model_gives_are_refused_by_name(name: str) -> None:
    assert DEFAULTS.settled(_chat(**{name: 100})).most_tokens == 100
    with pytest.raises(InvalidRequestError, match=f"{name} is 101.*100 tokens at most") as raised:
        DEFAULTS.settled(_chat(**{name: 101}))
    assert raised.value.field == name


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"aliases": {"a": "b", "b": "m"}}, "is an alias itself"),
        ({"aliases": {"a": "m"}, "settings": {"a": {}}}, "name a model"),
        ({"settings": {"m@3": {}}}, "name a model"),
        ({"settings": {"m": {"system_prompt": "house"}}}, "pattern"),
        ({"settings": {"m": {"colour": "red"}}}, "Extra inputs"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelsConfig.model_validate(config)
