from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from enginehouse.api.call import Ask, Call, Caller
from enginehouse.api.generation import Piece
from enginehouse.gateway.access.model_access import ModelAccess, allows

from enginehouse.errors import ForbiddenError


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
    assert allows(entry, name) is covered


async def _behind(call: Call) -> AsyncGenerator[Piece, None]:
    call.notes["reached"] = True
    return
    yield


def _reaches(models: frozenset[str] | None, model: str) -> bool:
    call = Call(Ask("completions", "cmpl", False, False, _behind), model, Caller(models=models))

    async def test() -> None:
        async with aclosing(ModelAccess()(call, _behind)) as pieces:
            async for _ in pieces:
                pass

    asyncio.run(test())
    return bool(call.notes.get("reached"))


def test_a_call_goes_on_with_a_model_of_its_key() -> None:
    assert _reaches(None, "anything")
    assert _reaches(frozenset({"a", "b@2"}), "b@2")


def test_another_model_ends_the_call_before_it_is_looked_for() -> None:
    with pytest.raises(ForbiddenError, match=r"'c'.*a, b@2") as caught:
        _reaches(frozenset({"b@2", "a"}), "c")
    assert caught.value.field == "model"
