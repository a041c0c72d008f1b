from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.experiments.definition import ExperimentSpec, parse_experiment
from enginehouse.registry.experiments.store import ExperimentStore, routes_of, versions_of

from enginehouse.errors import NotRegisteredError, RolloutError
from enginehouse.settings import load_settings

TEXT = "You are kind."


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A real embedded registry with two models, one version and some prompts."""
    home = tmp_path_factory.mktemp("experiments")
    found = Registry(load_settings({"ENGINEHOUSE_HOME": str(home)}, cwd=Path.cwd()))
    with found.session() as client:
        for model in ("smollm2", "other"):
            client.create_registered_model(model)
        client.create_model_version("smollm2", source=str(home))
        client.register_prompt("kind", TEXT)
        client.register_prompt("kind", "You are kinder.")
        client.set_prompt_alias("kind", "best", 1)
        client.register_prompt("open", "You are {{mood}}.")
        client.register_prompt("talk", [{"role": "system", "content": "Talk."}])
        client.register_prompt("long", "word " * 1500)
    return found


def spec(name: str, model: str = "smollm2", **arm: object) -> ExperimentSpec:
    arms = [{"name": "control"}, {"name": "other", **(arm or {"version": 1})}]
    return parse_experiment({"name": name, "model": model, "arms": arms}, "test")


def tags(registry: Registry, model: str = "smollm2") -> dict[str, str]:
    return registry.snapshot()[model].tags


def test_started_experiment_is_a_route_until_it_is_stopped(registry: Registry) -> None:
    store = ExperimentStore(registry)
    started = store.start(spec("one"), now=10.0, actor="ann")

    assert started.route in routes_of(tags(registry))
    assert 1 in versions_of((started.route,))

    stopped = store.stop("one", now=20.0)

    assert (stopped.started_at, stopped.stopped_at, stopped.actor) == (10.0, 20.0, "ann")
    assert started.route not in routes_of(tags(registry))
    assert store.find("one") == stopped


def test_every_run_has_a_salt_of_its_own(registry: Registry) -> None:
    store = ExperimentStore(registry)
    first = store.start(spec("again"), now=1.0)
    store.stop("again", now=2.0)
    second = store.start(spec("again"), now=3.0)
    store.stop("again", now=4.0)

    assert first.route.salt != second.route.salt


def test_prompt_is_frozen_with_its_version(registry: Registry) -> None:
    record = ExperimentStore(registry).start(spec("frozen", prompt="kind@best"), now=1.0)
    with registry.session() as client:
        client.set_prompt_alias("kind", "best", 2)

    (route,) = (r for r in routes_of(tags(registry)) if r.name == "frozen")
    assert route == record.route
    assert (route.arms[1].system_prompt, route.arms[1].prompt) == (TEXT, "kind@1")


def test_chat_prompts_give_their_system_message(registry: Registry) -> None:
    record = ExperimentStore(registry).start(spec("talk", prompt="talk@1"), now=1.0)
    assert record.route.arms[1].system_prompt == "Talk."


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (spec("x", version=9), "no version 9"),
        (spec("x", model="nobody"), "model: no registered model 'nobody'"),
        (spec("x", prompt="nothing@1"), "no prompt 'nothing@1'"),
        (spec("x", prompt="open@1"), r"variables \(mood\)"),
        (spec("x", prompt="long@1"), "shorten the prompts of arms other"),
    ],
)
def test_what_cannot_run_is_refused(registry: Registry, wanted: ExperimentSpec, said: str) -> None:
    before = tags(registry)
    with pytest.raises((NotRegisteredError, RolloutError), match=said):
        ExperimentStore(registry).start(wanted, now=1.0)
    assert tags(registry) == before


def test_a_name_runs_once(registry: Registry) -> None:
    store = ExperimentStore(registry)
    store.start(spec("busy"), now=1.0)

    with pytest.raises(RolloutError, match="already"):
        store.start(spec("busy"), now=2.0)
    with pytest.raises(RolloutError, match="another name"):
        store.start(spec("busy", model="other", sampling={"seed": 1}), now=2.0)

    store.stop("busy", now=3.0)
    with pytest.raises(RolloutError, match="already"):
        store.stop("busy", now=4.0)


def test_unknown_names_list_the_known_ones(registry: Registry) -> None:
    ExperimentStore(registry).start(spec("known"), now=1.0)
    with pytest.raises(RolloutError, match="known"):
        ExperimentStore(registry).find("unknown-experiment")


def test_list_is_by_model_and_newest_first(registry: Registry) -> None:
    store = ExperimentStore(registry)
    store.start(spec("old", model="other", sampling={"seed": 1}), now=1000.0)
    store.start(spec("new", model="other", sampling={"seed": 1}), now=2000.0)

    assert [record.spec.name for record in store.list("other")] == ["new", "old"]
    with pytest.raises(NotRegisteredError, match="smollm2"):
        store.list("nobody")


def test_a_broken_tag_leaves_the_other_experiments_alone(registry: Registry) -> None:
    record = ExperimentStore(registry).start(spec("whole"), now=1.0)
    found = routes_of({**tags(registry), "enginehouse.experiment.broken": "{", "mine": "{"})
    assert record.route in found
