from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from enginehouse.api.call import Ask, Routed, TextCall
from enginehouse.api.generation import TextChunk
from enginehouse.api.revision import Revision
from enginehouse.api.routing import Route
from enginehouse.client import Target
from enginehouse.gateway.prompts.config import PromptsConfig
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.released import TAG_PROMPT, ReleasedPrompt
from enginehouse.gateway.prompts.source import PromptSource, prompts_of
from enginehouse.gateway.prompts.stage import PromptRegistry
from enginehouse.gateway.prompts.template import PromptTemplate
from enginehouse.gateway.prompts.written import PROMPT_HEADER
from enginehouse.registry import Registry

from enginehouse.errors import InvalidRequestError, RegistryError
from enginehouse.generation import FinishReason
from enginehouse.settings import load_settings
from enginehouse.traffic import ExperimentArm
from enginehouse.traffic.treatments import Treatment
from tests.gateway.through import text_call, through

ON = PromptsConfig(enabled=True)
USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A real embedded registry with some prompts, and a model one version of which names one."""
    home = tmp_path_factory.mktemp("prompts")
    found = Registry(load_settings({"ENGINEHOUSE_HOME": str(home)}, cwd=Path.cwd()))
    with found.session() as client:
        client.register_prompt("greet", "Greet like {{who}}.")
        client.register_prompt("greet", "Greet kindly.")
        client.set_prompt_alias("greet", "champion", 2)
        client.register_prompt("talk", [{"role": "system", "content": "Talk."}, dict(USER)])
        client.create_registered_model("m")
        for tags in ({}, {TAG_PROMPT: "greet/2"}):
            client.create_model_version("m", source=str(home), tags=tags)
    return found


def _call(prompt: dict[str, Any] | None = None) -> TextCall:
    return text_call(
        Ask("chat.completions", "chatcmpl"), "m", messages=[dict(USER)], managed_prompt=prompt
    )


def _routed(version: int, treatment: Treatment | None = None) -> Routed:
    nobody = cast("Any", None)
    revision = Revision(Target("m", version), nobody, nobody, nobody)
    return Routed(_call(), Route(revision, treatment=treatment))


async def _behind(state: TextCall | Routed) -> AsyncGenerator[TextChunk, None]:
    call = state.call if isinstance(state, Routed) else state
    yield TextChunk("|".join(m["content"] for m in call.messages), finish=FinishReason.STOP)


async def _through(stage: Any, state: TextCall | Routed) -> str:
    async with aclosing(through(stage, state, _behind)) as pieces:
        return "".join([piece.text async for piece in pieces])


def _stage(registry: Registry, own: str | None = None, config: PromptsConfig = ON) -> Any:
    return PromptRegistry(config, PromptSource(prompts_of(registry), config), lambda _: own)


def _released(registry: Registry) -> ReleasedPrompt:
    config = PromptsConfig(released=True)
    source = PromptSource(prompts_of(registry), config)
    return ReleasedPrompt(config, source, lambda m, v: registry.version(m, v).tags.get(TAG_PROMPT))


@pytest.mark.parametrize(
    ("prompt", "shown", "label"),
    [
        ({"id": "greet"}, "Greet kindly.|Hi", "greet/2"),
        ({"id": "greet", "version": "champion"}, "Greet kindly.|Hi", "greet/2"),
        (
            {"id": "greet", "version": "1", "variables": {"who": "Ann"}},
            "Greet like Ann.|Hi",
            "greet/1",
        ),
        (
            {"id": "prompts:/greet/1", "variables": {"who": {"type": "input_text", "text": "B"}}},
            "Greet like B.|Hi",
            "greet/1",
        ),
        ({"id": "talk/1"}, "Talk.|Hi|Hi", "talk/1"),
    ],
)
def test_a_prompt_of_the_registry_stands_before_the_conversation(
    registry: Registry, prompt: dict[str, Any], shown: str, label: str
) -> None:
    call = _call(prompt)
    assert asyncio.run(_through(_stage(registry), call)) == shown
    assert call.response_headers[PROMPT_HEADER] == label
    name, _, version = label.partition("/")
    assert call.findings["prompt"] == {"name": name, "version": int(version)}


def test_the_models_own_prompt_comes_first_and_both_are_named(registry: Registry) -> None:
    call = _call({"id": "greet"})
    shown = asyncio.run(_through(_stage(registry, "prompts:/talk/1"), call))
    assert shown == "Talk.|Hi|Greet kindly.|Hi"
    assert call.response_headers[PROMPT_HEADER] == "greet/2, talk/1"
    assert call.findings["system_prompt"] == {"name": "talk", "version": 1}


def test_a_call_without_prompts_asks_nobody() -> None:
    stage = PromptRegistry(ON, cast("PromptSource", None), lambda _: None)
    call = _call()
    assert asyncio.run(_through(stage, call)) == "Hi"
    assert PROMPT_HEADER not in call.response_headers


@pytest.mark.parametrize(
    ("prompt", "config", "message"),
    [
        ({"id": "nobody"}, ON, "no prompt 'prompts:/nobody@champion'"),
        ({"id": "greet", "version": "77"}, ON, "no prompt 'prompts:/greet/77'"),
        ({"id": "greet", "version": "1"}, ON, "variable 'who'"),
        ({"id": "greet", "version": "1", "variables": {"who": 7}}, ON, "who is not a string"),
        ({"id": "m", "version": "1"}, ON, "no prompt"),
        ({"id": "greet"}, PromptsConfig(), "takes no prompts by name"),
        (
            {"id": "greet"},
            PromptsConfig(enabled=True, names=frozenset({"talk"})),
            "may not be used here; prompts: talk",
        ),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused_by_name(
    registry: Registry, prompt: dict[str, Any], config: PromptsConfig, message: str
) -> None:
    call = _call(prompt)
    with pytest.raises(InvalidRequestError, match=message) as raised:
        asyncio.run(_through(_stage(registry, config=config), call))
    assert raised.value.field == "prompt"
    assert "prompt" not in call.findings  # the variables are the caller's words


def test_a_version_brings_the_prompt_that_it_is_released_with(registry: Registry) -> None:
    released = _released(registry)
    of_plain, of_tagged = _routed(1), _routed(2)
    plain, tagged = of_plain.call, of_tagged.call

    async def both() -> list[str]:
        return [await _through(released, routed) for routed in (of_plain, of_tagged)]

    assert asyncio.run(both()) == ["Hi", "Greet kindly.|Hi"]
    assert PROMPT_HEADER not in plain.response_headers
    assert tagged.response_headers[PROMPT_HEADER] == "greet/2"
    assert tagged.findings["released_prompt"] == {"name": "greet", "version": 2}


def test_an_arms_prompt_stands_in_the_place_of_the_versions(registry: Registry) -> None:
    arm = ExperimentArm(name="a", weight=1.0, system_prompt="Be brief.")
    routed = _routed(2, Treatment("e", arm, "u"))
    assert asyncio.run(_through(_released(registry), routed)) == "Hi"


class _Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


class _Loads:
    """Counts, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, PromptTemplate | None] = {}
        self.away = False

    def __call__(self, reference: RegistryPromptReference) -> PromptTemplate | None:
        self.asked.append(reference.uri)
        if self.away:
            raise RegistryError("away")
        return self.answers.get(reference.uri)


def _version(number: int) -> PromptTemplate:
    return PromptTemplate("p", number, (("system", str(number)),))


NUMBERED, ALIAS = RegistryPromptReference("p", "1"), RegistryPromptReference("p", "best")


def test_a_number_is_read_once_and_an_alias_again_after_a_while() -> None:
    loads, clock = _Loads(), _Clock()
    loads.answers = {NUMBERED.uri: _version(1), ALIAS.uri: _version(1)}
    source = PromptSource(loads, ON, clock)

    async def scenario() -> None:
        for _ in range(2):
            assert (await source.get(NUMBERED)).version == 1
            assert (await source.get(ALIAS)).version == 1
        loads.answers = {NUMBERED.uri: _version(1), ALIAS.uri: _version(2)}
        clock.now += ON.alias_ttl_s
        assert (await source.get(NUMBERED)).version == 1
        assert (await source.get(ALIAS)).version == 2

    asyncio.run(scenario())
    assert loads.asked == [NUMBERED.uri, ALIAS.uri, ALIAS.uri]


def test_a_prompt_that_is_not_there_is_asked_for_again_after_a_while() -> None:
    loads, clock = _Loads(), _Clock()
    source = PromptSource(loads, ON, clock)

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(InvalidRequestError):
                await source.get(NUMBERED)
        clock.now += ON.alias_ttl_s
        loads.answers = {NUMBERED.uri: _version(1)}
        assert (await source.get(NUMBERED)).version == 1

    asyncio.run(scenario())
    assert len(loads.asked) == 2


def test_an_alias_stays_where_it_was_while_the_registry_is_away() -> None:
    loads, clock = _Loads(), _Clock()
    loads.answers = {ALIAS.uri: _version(1)}
    source = PromptSource(loads, ON, clock)

    async def scenario() -> None:
        await source.get(ALIAS)
        loads.away = True
        clock.now += ON.alias_ttl_s
        assert (await source.get(ALIAS)).version == 1
        assert (await source.get(ALIAS)).version == 1
        with pytest.raises(RegistryError, match="away"):
            await source.get(NUMBERED)

    asyncio.run(scenario())
    assert loads.asked == [ALIAS.uri, ALIAS.uri, NUMBERED.uri]


def test_callers_at_the_same_time_share_one_look_and_who_leaves_does_not_end_it() -> None:
    gate, asked = threading.Event(), []

    def load(reference: RegistryPromptReference) -> PromptTemplate:
        asked.append(reference)
        gate.wait()
        return _version(1)

    async def scenario() -> None:
        source = PromptSource(load, ON)
        tasks = [asyncio.create_task(source.get(ALIAS)) for _ in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        tasks[0].cancel()
        gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert [template.version for template in cast("list[PromptTemplate]", found[1:])] == [1] * 4

    asyncio.run(scenario())
    assert len(asked) == 1


def test_a_registry_that_hangs_is_not_waited_for() -> None:
    gate = threading.Event()

    def load(_: RegistryPromptReference) -> PromptTemplate:
        gate.wait()
        return _version(1)

    async def scenario() -> None:
        source = PromptSource(load, PromptsConfig(timeout_s=0.01))
        try:
            with pytest.raises(RegistryError, match="in time"):
                await source.get(ALIAS)
        finally:
            gate.set()

    asyncio.run(scenario())


def test_no_more_prompts_are_kept_than_may_be() -> None:
    loads = _Loads()
    loads.answers = {f"prompts:/p/{n}": _version(n) for n in (1, 2, 3)}
    source = PromptSource(loads, PromptsConfig(most_kept=2))

    async def scenario() -> None:
        for number in ("1", "2", "1", "3", "1", "2"):
            await source.get(RegistryPromptReference("p", number))

    asyncio.run(scenario())
    assert [uri[-1] for uri in loads.asked] == ["1", "2", "3", "2"]


def test_prompts_are_read_from_the_registry_itself(registry: Registry) -> None:
    load = prompts_of(registry)
    found = load(RegistryPromptReference("greet", "1"))
    assert found == PromptTemplate("greet", 1, (("system", "Greet like {{who}}."),))
    assert load(RegistryPromptReference("greet", "nowhere")) is None
