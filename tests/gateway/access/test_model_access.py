from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from enginehouse.api.call import Ask, Call
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk
from enginehouse.gateway.access.model_access import ModelAccess

from enginehouse.errors import ForbiddenError
from tests.gateway.through import text_call, through


@pytest.mark.parametrize(
    ("entry", "name", "covered"),
    [
        ("m", "m", True),
        ("m", "m@8", True),
        ("m", "m:lora", True),
        ("m", "m@8:lora", True),
        ("m", "mm", False),
        ("m", "", False),
        ("m@8", "m@8", True),
        ("m@8", "m@8:lora", True),
        ("m@8", "m", False),
        ("m@8", "m@9", False),
        ("m@8", "m@08", False),
        ("m@8", "m:lora", False),
        ("m:lora", "m:lora", True),
        ("m:lora", "m@8:lora", True),
        ("m:lora", "m", False),
        ("m:lora", "m:other", False),
    ],
)
def test_what_an_entry_covers(entry: str, name: str, *, covered: bool) -> None:
    assert Caller(models=frozenset({entry})).may_ask(name) is covered


def _reaches(models: frozenset[str] | None, model: str) -> bool:
    call = text_call(Ask("completions", "cmpl"), model, caller=Caller(models=models))
    reached = []

    async def behind(call: Call) -> AsyncGenerator[TextChunk, None]:
        reached.append(call)
        return
        yield

    async def test() -> None:
        async with aclosing(through(ModelAccess(), call, behind)) as pieces:
            async for _ in pieces:
                pass

    asyncio.run(test())
    return bool(reached)


def test_a_call_goes_on_with_a_model_of_its_key() -> None:
    assert _reaches(None, "anything")
    assert _reaches(frozenset({"a", "b@2"}), "b@2")


def test_another_model_ends_the_call_before_it_is_looked_for() -> None:
    with pytest.raises(ForbiddenError, match=r"'c'.*a, b@2") as caught:
        _reaches(frozenset({"b@2", "a"}), "c")
    assert caught.value.field == "model"
