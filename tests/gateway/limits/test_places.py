"""A call gives its places back however it ends, and takes none if it can be refused before."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.api.choices import Choices
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.limits.config import FairShareConfig, LimitsConfig
from enginehouse.gateway.limits.fair_share import Ticket
from enginehouse.gateway.limits.turns import Turns
from starlette.testclient import TestClient

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason
from enginehouse.settings import Settings
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, FakeReplica, generator
from tests.conftest import wait_until
from tests.gateway.limits.calls import Shared, behind, text_call


class _Answer:
    """A generation that ends as it is told to."""

    def __init__(self, index: int, ending: BaseException | None) -> None:
        self.index = index
        self.most_tokens = 4
        self.usage = Usage(1)
        self.prompt = type("Prompt", (), {"ids": [0], "max_tokens": 4})()
        self._ending = ending

    async def pieces(self, timeout_s: float | None = None) -> AsyncGenerator[TextChunk, None]:
        yield TextChunk("a", [1], index=self.index)
        if self._ending is not None:
            raise self._ending
        yield TextChunk("", finish=FinishReason.STOP, index=self.index)


def _choices(width: int, ending: BaseException | None) -> Choices:
    answers: Any = [_Answer(i, None if i < width - 1 else ending) for i in range(width)]
    return Choices("id", tuple(answers), kept=1, prompts=width)


@pytest.mark.parametrize("width", [1, 2, 64])
@pytest.mark.parametrize(
    ("ending", "raised"),
    [
        (None, None),
        (EngineUnavailableError("gone"), EngineUnavailableError),
        (struct.error("beyond int32"), struct.error),
        (RuntimeError("a fault"), RuntimeError),
        (MemoryError(), MemoryError),
    ],
)
def test_places_are_free_however_a_call_ends(
    width: int, ending: BaseException | None, raised: type[BaseException] | None
) -> None:
    async def run() -> None:
        shared = Shared(LimitsConfig())
        turns = Turns(shared.limits, FairShareConfig(slots=64))
        call = text_call(width=width)
        assert call.answered is not None
        choices = call.answered.choices = _choices(width, ending)
        expected: Any = nullcontext() if raised is None else pytest.raises(raised)
        with expected:
            await _all(behind(turns, call, lambda _: _run(choices)))
        assert shared.registry.get_sample_value("enginehouse_slots_used") == 0

    asyncio.run(run())


async def _all(pieces: AsyncGenerator[TextChunk, None]) -> None:
    """Read an answer to its end; it must come to one."""
    async with asyncio.timeout(30):
        async for _ in pieces:
            pass


def _run(choices: Choices | None) -> AsyncGenerator[TextChunk, None]:
    assert choices is not None
    return choices.pieces()


def test_an_answer_that_is_cancelled_from_below_ends_the_call() -> None:
    async def run() -> None:
        with pytest.raises(EngineUnavailableError):
            await _all(_choices(3, asyncio.CancelledError()).pieces())

    asyncio.run(run())


@pytest.mark.parametrize(
    "fields", [{"cost": 0}, {"cost": 10**400}, {"cost": 1, "width": 0}, {"cost": 1, "weight": 0.0}]
)
def test_what_cannot_be_accounted_for_gets_no_ticket(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be scheduled"):
        Ticket("a", **fields)


_LIMITS = """
limits:
  fair_share:
    slots: 1
    most_queue_s: 30
"""


@pytest.fixture
def full(tmp_path: Path, make_revision: MakeRevision) -> Iterator[tuple[TestClient, FakeReplica]]:
    file = tmp_path / "endpoint.yaml"
    file.write_text(_LIMITS)
    settings = Settings(home=tmp_path, fleet="host:1")
    replica = generator(1)
    app = create_app(settings, connect=FakeFleet([replica]).connect, open_version=make_revision)
    with TestClient(app) as client:
        wait_until(lambda: bool(client.get("/v1/models").json()["data"]), "the model")
        yield client, replica


_MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/chat/completions", {"messages": _MESSAGES, "max_tokens": 1_000_000}, "max_tokens"),
        ("/v1/completions", {"prompt": ["x"] * 64, "max_tokens": 1_000_000}, "max_tokens"),
        ("/v1/completions", {"prompt": "x", "logit_bias": {"49152": 1}}, "logit_bias"),
        ("/v1/completions", {"prompt": "x", "guided_regex": "a", "min_tokens": 2}, "min_tokens"),
        (
            "/v1/completions",
            {"prompt": ["x"] * 64, "min_tokens": 3_000_000_000, "max_tokens": 1},
            "min_tokens",
        ),
    ],
)
def test_what_can_be_refused_takes_no_place(
    full: tuple[TestClient, FakeReplica], path: str, fields: dict[str, Any], param: str
) -> None:
    client, replica = full
    answer = client.post(path, json={"model": "smollm2"} | fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert replica.asked == []
    page = client.get("/metrics").text
    assert "enginehouse_limit_refusals_total{" not in page
    after = client.post(
        "/v1/completions", json={"model": "smollm2", "prompt": "x", "max_tokens": 1}
    )
    assert after.status_code == 200
