"""What happens beside requests, through the adapter, in front of replicas that are callables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.app import create_app
from enginehouse.gateway.shadow.shadow import SHADOW_PRIORITY
from enginehouse.registry.experiments.analysis import analyse
from enginehouse.registry.experiments.definition import ExperimentMetric, parse_experiment
from enginehouse.registry.quality.traces import TraceLog
from starlette.testclient import TestClient

from enginehouse.errors import EngineUnavailableError
from enginehouse.settings import ApiSettings, Settings
from enginehouse.traffic import (
    Arm,
    ExperimentArm,
    ExperimentRoute,
    Feedback,
    RequestSample,
    Routes,
    ShadowRoute,
)
from enginehouse.traffic.comparison import read_pairs
from enginehouse.traffic.exposures import (
    EXPERIMENT_SAMPLES,
    EXPOSURES,
    FEEDBACK,
    Exposure,
    read_journal,
)
from enginehouse.traffic.routes import write_routes
from enginehouse.traffic.treatments import arm_of
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, FakeReplica, generator
from tests.conftest import wait_until

MESSAGES = [{"role": "user", "content": "I am ann@example.org. Hi"}]
BODY = {"model": "smollm2", "messages": MESSAGES, "max_tokens": 4}
PROMPT = "Answer in one word."
EXPERIMENT = ExperimentRoute(
    name="warm",
    salt="warm-1",
    arms=(
        ExperimentArm(name="control", weight=1),
        ExperimentArm(
            name="warm", weight=1, version=2, sampling={"temperature": 0.5}, system_prompt=PROMPT
        ),
    ),
)
USERS = [f"user-{i}" for i in range(12)]
WARM = [name for name in USERS if arm_of(EXPERIMENT, name).name == "warm"]
Open = Callable[[Settings], AbstractContextManager[TestClient]]


@pytest.fixture
def replica() -> FakeReplica:
    return generator(1, 2)


@pytest.fixture
def adapter(replica: FakeReplica, make_revision: MakeRevision) -> Open:
    @contextmanager
    def running(settings: Settings) -> Iterator[TestClient]:
        connect = FakeFleet([replica]).connect
        app = create_app(settings, connect=connect, open_version=make_revision)
        with TestClient(app) as client:
            wait_until(lambda: bool(client.get("/v1/models").json()["data"]), "the model")
            yield client

    return running


def settings_in(home: Path, **api: Any) -> Settings:
    return Settings(home=home, fleet="host:1", api=ApiSettings(samples_kept=100, **api))


def apply(settings: Settings, http: TestClient, **changes: Any) -> None:
    arms = (Arm(version=1, weight=100),)
    routes = Routes(
        model="smollm2", generation=1, rollout="r", champion=1, arms=arms, loaded=(1, 2), **changes
    )
    write_routes(settings.routes_dir, routes)
    wait_until(lambda: internal(settings, http, "routes")["smollm2"]["generation"] == 1, "routes")


def internal(settings: Settings, http: TestClient, what: str) -> Any:
    token = settings.admin_token_path.read_text()
    return http.get(f"/internal/{what}", headers={"Authorization": f"Bearer {token}"}).json()


def chat(http: TestClient, **change: Any) -> Any:
    answer = http.post("/v1/chat/completions", json=BODY | change)
    assert answer.status_code == 200, answer.text
    return answer


def test_an_experiment_from_assignment_to_analysis(
    tmp_path: Path, adapter: Open, replica: FakeReplica, make_revision: MakeRevision
) -> None:
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, experiments=(EXPERIMENT,))
        for user in USERS:
            for stream in (False, True):
                answer = chat(http, user=user, stream=stream)
                wanted = "2" if user in WARM else "1"
                assert answer.headers["x-enginehouse-version"] == wanted
                target, asked = replica.asked[-1]
                prompt = make_revision("smollm2", 1).tokenizer.decode(list(asked.input_ids))
                assert (PROMPT in prompt) is (user in WARM)
                assert (asked.sampling.temperature == 0.5) is (user in WARM)
                assert target.version == int(wanted)
            if not stream or user in WARM:
                whole = chat(http, user=user).json()
                said = {"response_id": whole["id"], "thumbs": "up"}
                assert http.post("/v1/feedback", json=said).is_success
        before = len(replica.asked)
        chat(http)
        chat(http, user=WARM[0], model="smollm2@1")
        chat(http, user=WARM[0], temperature=0.0)
        assert [sample.sampling.temperature for _, sample in replica.asked[before:]][-1] == 0.0
        kept = internal(settings, http, "samples")["samples"]

    journal = settings.journal_dir
    exposures = list(read_journal(journal, EXPOSURES, Exposure))
    samples = list(read_journal(journal, EXPERIMENT_SAMPLES, RequestSample))
    assert len(exposures) == len(samples) == 24 + len(WARM) + 1
    assert len({exposure.unit for exposure in exposures}) == len(USERS)
    assert not any("user-" in path.read_text() for path in journal.glob("*"))
    # A version that an experiment chose is not part of the rollout's comparison.
    assert {s["rollout"] for s in kept if s["arm"] == "warm"} == {None}
    assert {s["rollout"] for s in kept if s["arm"] == "control"} == {"r"}

    arms = [{"name": "control"}, {"name": "warm", "version": 2}]
    spec = parse_experiment({"name": "warm", "model": "smollm2", "arms": arms}, "test")
    found = analyse(spec, exposures, samples, read_journal(journal, FEEDBACK, Feedback))
    assert [arm.units for arm in found.arms] == [len(USERS) - len(WARM), len(WARM)]
    assert sum(arm.open for arm in found.arms) == 0
    assert found.of(ExperimentMetric.FEEDBACK)[1].units == len(WARM)


def test_an_experiment_whose_version_is_away_changes_nothing(
    tmp_path: Path, adapter: Open, replica: FakeReplica
) -> None:
    replica.loaded["smollm2.tensorrt_llm"] = {1}
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, experiments=(EXPERIMENT,))
        assert {chat(http, user=u).headers["x-enginehouse-version"] for u in USERS} == {"1"}
    assert not (settings.journal_dir / "exposures.jsonl").exists()


@pytest.mark.parametrize("stream", [False, True])
def test_the_champions_requests_are_copied_to_the_shadow(
    tmp_path: Path, adapter: Open, replica: FakeReplica, *, stream: bool
) -> None:
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, shadow=ShadowRoute(version=2, share=1.0))
        chat(http, stream=stream)
        chat(http, model="smollm2@2", stream=stream)
        wait_until(lambda: len(internal(settings, http, "samples")["samples"]) == 3, "the copy")
        own, copied = replica.asked[0], next(a for a in replica.asked if a[1].priority)
        samples = internal(settings, http, "samples")["samples"]
        counted = 'shadow_alike_total{in="exact",model="smollm2",version="2"} 1.0'
        wait_until(lambda: counted in http.get("/metrics").text, "the comparison")

    assert (own[0].version, own[1].priority) == (1, 0)
    assert (copied[0].version, copied[1].priority) == (2, SHADOW_PRIORITY)
    assert list(copied[1].input_ids) == list(own[1].input_ids)
    (shadow,) = (sample for sample in samples if sample["shadow"])
    assert (shadow["version"], shadow["rollout"], shadow["outcome"]) == (2, "r", "ok")
    (pair,) = read_pairs(settings.journal_dir, "smollm2")
    assert pair.comparison.exact
    assert pair.prompt is None


def test_a_shadow_that_is_gone_is_nothing_that_a_user_sees(
    tmp_path: Path, adapter: Open, replica: FakeReplica
) -> None:
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, shadow=ShadowRoute(version=2, share=1.0))
        generate = replica.generate

        async def failing(target: Any, request: Any, **options: Any) -> Any:
            if target.version == 2:
                raise EngineUnavailableError("gone")
            async for chunk in generate(target, request, **options):
                yield chunk

        replica.generate = failing
        assert chat(http).json()["choices"][0]["finish_reason"] == "length"


def test_texts_of_pairs_are_kept_if_the_environment_says_so(
    tmp_path: Path, adapter: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINEHOUSE_SHADOW_PAIRS", "5")
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, shadow=ShadowRoute(version=2, share=1.0))
        chat(http)
        wait_until(lambda: bool(read_pairs(settings.journal_dir, "smollm2")), "the pair")

    (pair,) = read_pairs(settings.journal_dir, "smollm2")
    assert pair.prompt == "user: I am [e-mail]. Hi"
    assert pair.champion_answer == pair.shadow_answer


def test_traces_of_both_endpoints_hold_the_conversation_redacted(
    tmp_path: Path, adapter: Open
) -> None:
    settings = settings_in(tmp_path, trace_share=1.0)
    # The registry's tables take a while; afterwards a trace takes milliseconds.
    log = TraceLog(settings)
    with adapter(settings) as http:
        answer = chat(http).json()
        completion = {"model": "smollm2", "prompt": "Once upon", "max_tokens": 3}
        assert http.post("/v1/completions", json=completion).is_success

    found = list(log.read("smollm2", since=0, until=2e10))
    by_prompt = {record.prompt: record for record in found}
    assert set(by_prompt) == {"I am [e-mail]. Hi", "Once upon"}
    traced = by_prompt["I am [e-mail]. Hi"]
    assert traced.request_id == answer["id"]
    assert (traced.version, traced.completion_tokens, traced.finish) == (1, 4, "length")


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path, adapter: Open) -> None:
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        chat(http, user="ann")
    assert not settings.journal_dir.exists()
    assert not (tmp_path / "registry").exists()


def test_the_journal_is_json_lines(tmp_path: Path, adapter: Open) -> None:
    settings = settings_in(tmp_path)
    with adapter(settings) as http:
        apply(settings, http, experiments=(EXPERIMENT,))
        for user in USERS:
            chat(http, user=user)
    lines = (settings.journal_dir / "exposures.jsonl").read_text().splitlines()
    assert {json.loads(line)["experiment"] for line in lines} == {"warm"}
